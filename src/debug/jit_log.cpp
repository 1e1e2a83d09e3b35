// The kernel's log of compiled programs. Exports read_jit_log, read_last_jit_dump, heading.
//
// Where all lines are there, dumps that are mixed line by line can be told apart. Where some are lost, a dump is taken
// to end where the next one begins.
#include <weir/debug/jit_log.h>

#include <charconv>
#include <optional>

#include <fmt/format.h>

#include <weir/base/bytes.h>

namespace weir::debug {
namespace {

struct Dump {
  JitImage image;
  std::uint32_t length = 0;  // announced
  Span header;
  std::optional<std::uint64_t> base{};  // what the offset of its first line was
  std::size_t last_fed = 0;             // which line of the log brought bytes last
};

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::optional<std::uint64_t> hex_number(std::string_view text) {
  if (text.substr(0, 2) == "0x") text.remove_prefix(2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool is_header(std::string_view line) {
  return line.find("flen=") != std::string_view::npos && line.find("image=") != std::string_view::npos;
}

class LogReader {
 public:
  // Reads text[begin, end), lines whole. `lossy`: bytes that no dump waits for belong to one whose start was lost.
  LogReader(std::string_view text, std::size_t begin, std::size_t end, bool lossy)
      : text_(text.substr(0, end)), begin_(begin), lossy_(lossy) {}

  Result<std::vector<JitImage>> run() {
    std::size_t begin = begin_;
    while (begin < text_.size()) {
      const std::size_t end = std::min(text_.find('\n', begin), text_.size());
      WEIR_CHECK(line(begin, end));
      begin = end + 1;
      ++line_number_;
    }
    std::vector<JitImage> out;
    for (Dump& dump : dumps_) {
      if (dump.image.code.size() < dump.length)
        return fail(fmt::format("the log holds {} of the program's {} bytes", dump.image.code.size(), dump.length),
                    dump.header, "lines are missing: the log buffer may have been too small");
      out.push_back(std::move(dump.image));
    }
    if (out.empty())
      return fail("no program was found in the log", {},
                  "lines with 'flen=' and 'JIT code:' come with net.core.bpf_jit_enable=2");
    return out;
  }

 private:
  static Span span(std::size_t begin, std::size_t end) {
    return {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
  }

  // The value of "name=" in the line, up to the next blank.
  static std::optional<std::string_view> value_of(std::string_view line, std::string_view name) {
    std::size_t at = line.find(name);
    while (at != std::string_view::npos && at > 0 && !is_blank(line[at - 1]) && line[at - 1] != ']' &&
           line[at - 1] != '>' && line[at - 1] != ':')
      at = line.find(name, at + 1);
    if (at == std::string_view::npos) return std::nullopt;
    line.remove_prefix(at + name.size());
    std::size_t end = 0;
    while (end < line.size() && !is_blank(line[end])) ++end;
    return line.substr(0, end);
  }

  Status line(std::size_t begin, std::size_t end) {
    const std::string_view text = text_.substr(begin, end - begin);
    if (is_header(text)) return header(text, begin);
    constexpr std::string_view kCode = "JIT code:";
    if (const std::size_t at = text.find(kCode); at != std::string_view::npos)
      return code(begin + at + kCode.size(), end);
    return {};
  }

  Status header(std::string_view text, std::size_t begin) {
    const auto instructions = value_of(text, "flen=");
    const auto length = value_of(text, "proglen=");
    const auto pass = value_of(text, "pass=");
    const auto image = value_of(text, "image=");
    const Span where = span(begin, begin + text.size());
    if (!instructions || !length || !pass || !image || instructions->empty() || image->empty())
      return fail("this line should have flen=, proglen=, pass= and image=", where);
    Dump dump;
    std::uint64_t bytes = 0;
    const auto [stop, error] = std::from_chars(length->data(), length->data() + length->size(), bytes);
    if (error != std::errc{} || stop != length->data() + length->size())
      return fail(fmt::format("'{}' is not a length", *length), where);
    if (bytes > kLongestImage) return fail(fmt::format("a program of {} bytes is too long", bytes), where);
    if (bytes == 0) return fail("a program of 0 bytes", where);
    dump.length = static_cast<std::uint32_t>(bytes);
    dump.header = where;
    dump.image.instruction_count = *instructions;
    dump.image.pass = *pass;
    dump.image.image = *image;
    dump.image.address = hex_number(*image).value_or(0);
    if (const auto from = value_of(text, "from=")) dump.image.from = *from;
    dumps_.push_back(std::move(dump));
    return {};
  }

  // The dump that waits for a line with this offset; of several, the one that waits longest.
  Dump* waiting_for(std::uint64_t offset) {
    Dump* found = nullptr;
    for (Dump& dump : dumps_) {
      if (dump.image.code.size() >= dump.length) continue;
      const bool first = !dump.base.has_value();
      // A first line has the offset 0 or, in old kernels, an address: that of the image where it is not hidden.
      const bool fits = first ? offset == 0 || offset == dump.image.address || dump.image.address == 0
                              : offset == *dump.base + dump.image.code.size();
      if (fits && (found == nullptr || dump.last_fed < found->last_fed)) found = &dump;
    }
    return found;
  }

  Status code(std::size_t begin, std::size_t end) {
    const std::size_t colon = text_.substr(begin, end - begin).find(':');
    if (colon == std::string_view::npos) return fail("an offset and ':' should follow", span(begin, end));
    std::size_t start = begin;
    while (start < begin + colon && is_blank(text_[start])) ++start;
    const std::optional<std::uint64_t> offset = hex_number(text_.substr(start, begin + colon - start));
    if (!offset) return fail("this is not an offset", span(start, begin + colon));
    if (dumps_.empty()) return {};  // the rest of a dump whose start has left the buffer
    Dump* dump = waiting_for(*offset);
    if (dump == nullptr) {
      if (lossy_ || !any_fed()) return {};
      return fail(fmt::format("no program waits for bytes at {:#x}", *offset), span(start, end),
                  "lines are missing or twice in the log");
    }
    if (!dump->base) dump->base = *offset;
    dump->last_fed = line_number_ + 1;
    return bytes(*dump, begin + colon + 1, end);
  }

  bool any_fed() const {
    for (const Dump& dump : dumps_)
      if (dump.base) return true;
    return false;
  }

  Status bytes(Dump& dump, std::size_t at, std::size_t end) {
    for (;;) {
      while (at < end && is_blank(text_[at])) ++at;
      if (at >= end) return {};
      if (at + 1 >= end || !is_hex(text_[at]) || !is_hex(text_[at + 1]) || (at + 2 < end && !is_blank(text_[at + 2])))
        return fail("this is not a byte in hexadecimal", span(at, std::min(at + 2, end)));
      if (dump.image.code.size() == dump.length)
        return fail(fmt::format("more than the {} bytes announced", dump.length), span(at, at + 2));
      std::uint8_t byte = 0;
      std::from_chars(text_.data() + at, text_.data() + at + 2, byte, 16);
      dump.image.code.push_back(byte);
      at += 2;
    }
  }

  std::string_view text_;
  std::size_t begin_;
  bool lossy_;
  std::size_t line_number_ = 0;
  std::vector<Dump> dumps_;
};

// Where the lines begin that begin a dump.
std::vector<std::size_t> starts_of_dumps(std::string_view text) {
  std::vector<std::size_t> starts;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    if (is_header(text.substr(begin, end - begin))) starts.push_back(begin);
    begin = end + 1;
  }
  return starts;
}

}  // namespace

Result<std::vector<JitImage>> read_jit_log(std::string_view text, Warnings* left_out) {
  Result<std::vector<JitImage>> all = LogReader(text, 0, text.size(), false).run();
  if (all || left_out == nullptr) return all;
  std::vector<std::size_t> bounds = starts_of_dumps(text);
  bounds.push_back(text.size());
  std::vector<JitImage> whole;
  Warnings damaged;
  for (std::size_t i = 0; i + 1 < bounds.size(); ++i) {
    Result<std::vector<JitImage>> one = LogReader(text, bounds[i], bounds[i + 1], true).run();
    if (one) {
      whole.push_back(std::move(one->front()));
    } else {
      damaged.push_back(one.error());
      damaged.back().severity = Severity::kWarning;
    }
  }
  if (whole.empty()) return all;
  left_out->insert(left_out->end(), damaged.begin(), damaged.end());
  return whole;
}

Result<JitImage> read_last_jit_dump(std::string_view text) {
  Result<std::vector<JitImage>> images = LogReader(text, 0, text.size(), false).run();
  if (const std::vector<std::size_t> starts = starts_of_dumps(text); !images && !starts.empty())
    images = LogReader(text, starts.back(), text.size(), true).run();
  if (!images) return fail(std::move(images).error());
  return std::move(images->back());
}

std::string heading(const JitImage& image) {
  // The address is a number: it has no leading zeros. One that the kernel hides is not, and stays as it is.
  std::string_view address = image.image;
  if (address.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos)
    while (address.size() > 1 && address.front() == '0') address.remove_prefix(1);
  return fmt::format("{} bytes emitted from JIT compiler (pass:{}, flen:{})\n{} + <x>:\n", image.code.size(),
                     image.pass, image.instruction_count, address);
}

}  // namespace weir::debug
