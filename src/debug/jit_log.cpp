// The kernel's log of compiled programs. Exports read_jit_log, read_last_jit_dump, heading.
//
// Where all lines are there, dumps that are mixed line by line are told apart by their offsets. Where some are lost,
// each dump is read alone, up to the next header, and refused where a line there may belong to it as well as one that
// it has. The time is linear in the text.
#include <weir/debug/jit_log.h>

#include <algorithm>
#include <bitset>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include <weir/base/bytes.h>

namespace weir::debug {
namespace {

constexpr std::size_t kMostMixed = 256;  // a dump with as many others begun behind it is not continued
constexpr std::size_t kMostWarnings = 5;
constexpr std::uint32_t kLineBytes = 16;  // of each line of code but the last

struct Dump {
  JitImage image;
  std::uint32_t length = 0;  // announced
  Span header;
  std::optional<std::uint64_t> base{};  // what the offset of its first line was
  std::size_t last_fed = 0;             // which line of the log brought bytes last
  bool is_whole() const { return image.code.size() == length; }
};

// Set where a dump of which no line was seen begins with a line of that many bytes.
using FirstLines = std::bitset<kLineBytes + 1>;

// From a header to the next one.
struct Section {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool has_code = false;
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

constexpr std::string_view kCode = "JIT code:";

class LogReader {
 public:
  explicit LogReader(std::string_view text) : text_(text) {}
  // Reads a dump alone. `unseen`: of the dumps that begin directly before.
  LogReader(std::string_view text, const Section& section, const FirstLines& unseen)
      : text_(text.substr(0, section.end)), begin_(section.begin), alone_(true), unseen_(unseen) {}

  Result<std::vector<JitImage>> run() {
    std::size_t begin = begin_;
    while (begin < text_.size()) {
      const std::size_t end = std::min(text_.find('\n', begin), text_.size());
      WEIR_CHECK(line(begin, end));
      begin = end + 1;
      ++line_number_;
    }
    if (!open_.empty()) return fail(cut_short(dumps_[open_.front()]));
    if (dumps_.empty())
      return fail("no program was found in the log", {},
                  "lines with 'flen=' and 'JIT code:' come with net.core.bpf_jit_enable=2");
    std::vector<JitImage> out;
    out.reserve(dumps_.size());
    for (Dump& dump : dumps_) out.push_back(std::move(dump.image));
    return out;
  }

  // How many bytes the first line of the dump that was read alone has; 0 where its header cannot be read.
  std::uint32_t first_line() const { return dumps_.empty() ? 0 : std::min(dumps_.front().length, kLineBytes); }

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
    if (open_.size() == kMostMixed) return fail(cut_short(dumps_[open_.front()]));
    open_.push_back(dumps_.size());
    dumps_.push_back(std::move(dump));
    return {};
  }

  static Error cut_short(const Dump& dump) {
    return {.message = fmt::format("the log holds {} of the program's {} bytes", dump.image.code.size(), dump.length),
            .place = dump.header,
            .hint = "lines are missing: the log buffer may have been too small"};
  }

  static Error not_told_apart(const Dump& dump) {
    return {.message = "the code of this program cannot be told from another's",
            .place = dump.header,
            .hint = "programs are mixed line by line, and lines are missing"};
  }

  // The dump that waits for a line with this offset, as an index into open_; of several, the one that waits longest.
  std::optional<std::size_t> waiting_for(std::uint64_t offset) const {
    std::optional<std::size_t> found;
    for (std::size_t i = 0; i < open_.size(); ++i) {
      const Dump& dump = dumps_[open_[i]];
      // A first line has the offset 0 or, in old kernels, an address: that of the image where it is not hidden.
      const bool fits = dump.base ? offset == *dump.base + dump.image.code.size()
                                  : offset == 0 || offset == dump.image.address || dump.image.address == 0;
      if (fits && (!found || dump.last_fed < dumps_[open_[*found]].last_fed)) found = i;
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
    const std::optional<std::size_t> waiting = waiting_for(*offset);
    if (!waiting) {
      if (alone_) return foreign_line(dumps_.front(), *offset, begin + colon + 1, end);
      if (!any_fed_) return {};
      return fail(fmt::format("no program waits for bytes at {:#x}", *offset), span(start, end),
                  "lines are missing or twice in the log");
    }
    Dump& dump = dumps_[open_[*waiting]];
    WEIR_TRY(const std::vector<std::uint8_t> bytes, read_bytes(begin + colon + 1, end, &dump));
    if (!dump.base && unseen_.test(std::min<std::size_t>(bytes.size(), kLineBytes))) return fail(not_told_apart(dump));
    if (!dump.base) dump.base = *offset;
    any_fed_ = true;
    dump.last_fed = line_number_ + 1;
    dump.image.code.insert(dump.image.code.end(), bytes.begin(), bytes.end());
    if (dump.is_whole()) open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(*waiting));
    return {};
  }

  // A line of a dump whose header was lost, or stands above. Where the dump that is read alone has or awaits a line of
  // this shape, either may be its own.
  Status foreign_line(const Dump& dump, std::uint64_t offset, std::size_t begin, std::size_t end) const {
    WEIR_TRY(const std::vector<std::uint8_t> bytes, read_bytes(begin, end, nullptr));
    const auto may_be_its_own = [&](std::uint64_t base) {
      const std::uint64_t at = offset - base;
      return at < dump.length && at % kLineBytes == 0 &&
             bytes.size() == std::min<std::uint64_t>(dump.length - at, kLineBytes);
    };
    const bool is_begun = dump.base && !dump.is_whole();
    const bool is_twice =
        dump.base ? may_be_its_own(*dump.base) : may_be_its_own(0) || may_be_its_own(dump.image.address);
    if (is_begun || is_twice) return fail(not_told_apart(dump));
    return {};
  }

  // The bytes of a line; with `dump`, no more than it still awaits.
  Result<std::vector<std::uint8_t>> read_bytes(std::size_t at, std::size_t end, const Dump* dump) const {
    std::vector<std::uint8_t> bytes;
    for (;;) {
      while (at < end && is_blank(text_[at])) ++at;
      if (at >= end) return bytes;
      if (at + 1 >= end || !is_hex(text_[at]) || !is_hex(text_[at + 1]) || (at + 2 < end && !is_blank(text_[at + 2])))
        return fail("this is not a byte in hexadecimal", span(at, std::min(at + 2, end)));
      if (dump != nullptr && dump->image.code.size() + bytes.size() == dump->length)
        return fail(fmt::format("more than the {} bytes announced", dump->length), span(at, at + 2));
      std::uint8_t byte = 0;
      std::from_chars(text_.data() + at, text_.data() + at + 2, byte, 16);
      bytes.push_back(byte);
      at += 2;
    }
  }

  std::string_view text_;
  std::size_t begin_ = 0;
  bool alone_ = false;
  FirstLines unseen_;
  std::size_t line_number_ = 0;
  bool any_fed_ = false;
  std::vector<Dump> dumps_;
  std::vector<std::size_t> open_;  // those that are not whole
};

std::vector<Section> sections_of(std::string_view text) {
  std::vector<Section> sections;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (is_header(line)) sections.push_back({begin, end});
    else if (!sections.empty() && line.find(kCode) != std::string_view::npos) sections.back().has_code = true;
    if (!sections.empty()) sections.back().end = end;
    begin = end + 1;
  }
  return sections;
}

// Each dump alone, in their order: `take` gets the dump or what is wrong with it.
template <typename Take>
void read_alone(std::string_view text, const Take& take) {
  FirstLines unseen;
  for (const Section& section : sections_of(text)) {
    LogReader reader(text, section, unseen);
    Result<std::vector<JitImage>> one = reader.run();
    if (section.has_code) unseen.reset();
    else unseen.set(reader.first_line());
    if (one) take(Result<JitImage>(std::move(one->front())));
    else take(Result<JitImage>(fail(std::move(one).error())));
  }
}

}  // namespace

Result<std::vector<JitImage>> read_jit_log(std::string_view text, Warnings* left_out) {
  Result<std::vector<JitImage>> all = LogReader(text).run();
  if (all || left_out == nullptr) return all;
  std::vector<JitImage> whole;
  Warnings damaged;
  std::size_t damaged_count = 0;
  read_alone(text, [&](Result<JitImage> one) {
    if (one) {
      whole.push_back(std::move(*one));
    } else if (++damaged_count <= kMostWarnings) {
      damaged.push_back(std::move(one).error());
      damaged.back().severity = Severity::kWarning;
    }
  });
  if (whole.empty()) return all;
  if (damaged_count > kMostWarnings)
    damaged.push_back({.severity = Severity::kWarning,
                       .message = fmt::format("and {} more left out", damaged_count - kMostWarnings)});
  left_out->insert(left_out->end(), damaged.begin(), damaged.end());
  return whole;
}

Result<JitImage> read_last_jit_dump(std::string_view text) {
  Result<std::vector<JitImage>> images = LogReader(text).run();
  if (images) return std::move(images->back());
  Result<JitImage> last = fail(std::move(images).error());
  read_alone(text, [&](Result<JitImage> one) { last = std::move(one); });
  return last;
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
