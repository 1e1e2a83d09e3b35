// rtnetlink(7): requests, their answers, and attributes (length, kind, bytes; some of them nested).
#pragma once

#include <linux/netlink.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <weir/base/bytes.h>
#include <weir/base/error.h>

namespace weir::kernel::netlink {

// A request, built in a vector: a header, the fixed part, attributes.
class Message {
 public:
  template <typename Fixed>
  Message(std::uint16_t type, std::uint16_t flags, const Fixed& fixed) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = flags;
    add(&header, sizeof header);
    add(&fixed, sizeof fixed);
  }

  void attribute(std::uint16_t kind, const void* bytes, std::size_t size) {
    const nlattr head{static_cast<std::uint16_t>(sizeof(nlattr) + size), kind};
    add(&head, sizeof head);
    add(bytes, size);
  }
  void attribute(std::uint16_t kind, std::uint32_t value) { attribute(kind, &value, sizeof value); }
  void attribute(std::uint16_t kind, const std::string& text) { attribute(kind, text.c_str(), text.size() + 1); }

  // The attributes between open() and close() are inside this one.
  std::size_t open(std::uint16_t kind) {
    const std::size_t at = bytes_.size();
    attribute(kind | NLA_F_NESTED, nullptr, 0);
    return at;
  }
  void close(std::size_t at) {
    store(&bytes_[at], static_cast<std::uint16_t>(bytes_.size() - at), std::endian::native);
  }

  const std::vector<std::uint8_t>& finish() {
    store(bytes_.data(), static_cast<std::uint32_t>(bytes_.size()), std::endian::native);
    return bytes_;
  }

 private:
  void add(const void* bytes, std::size_t size) {
    const auto* const from = static_cast<const std::uint8_t*>(bytes);
    bytes_.insert(bytes_.end(), from, from + size);
    bytes_.resize((bytes_.size() + 3) / 4 * 4);
  }
  std::vector<std::uint8_t> bytes_;
};

// Calls `use` with each attribute of these bytes until it returns true.
template <typename Use>
void each_attribute(ByteSpan bytes, Use use) {
  while (bytes.size() >= sizeof(nlattr)) {
    const auto size = load<std::uint16_t>(bytes.data(), std::endian::native);
    const auto kind = static_cast<std::uint16_t>(load<std::uint16_t>(&bytes[2], std::endian::native) & NLA_TYPE_MASK);
    if (size < sizeof(nlattr) || size > bytes.size()) return;
    if (use(kind, bytes.subspan(sizeof(nlattr), size - sizeof(nlattr)))) return;
    bytes = bytes.subspan(std::min<std::size_t>((size + 3u) / 4 * 4, bytes.size()));
  }
}

// Sends the request; hands the answer's body to `use`, if there is one. An error's hint is what the kernel says.
Status ask(Message& message, const char* what, const std::function<void(ByteSpan body)>& use = {});
// Sends a request with NLM_F_DUMP; hands the body of each answer to `use`.
Status dump(Message& message, const char* what, const std::function<void(ByteSpan body)>& use);

}  // namespace weir::kernel::netlink
