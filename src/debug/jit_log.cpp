// The kernel's log of compiled programs. Exports read_jit_log, read_last_jit_dump, heading.
//
// Where all lines are there, dumps that are mixed line by line are told apart by their offsets. Where some are lost,
// each dump is read alone, up to the next header, and refused where a line there may belong to it as well as one that
// it has. Such a line is one too many: the dumps before, back to one that lacks a line of that shape, may each have the
// line of another, and are refused too. The time is linear in the text.
#include <weir/debug/jit_log.h>

#include <algorithm>
#include <bitset>
#include <charconv>
#include <deque>
#include <optional>
#include <set>

#include <fmt/format.h>

#include <weir/base/bytes.h>

namespace weir::debug {
namespace {

constexpr std::size_t kMostMixed = 256;  // a dump with as many others begun behind it is not continued
constexpr std::size_t kMostWarnings = 5;
constexpr std::uint32_t kLineBytes = 16;  // of each line of code but the last

struct Shape {  // of a line of code
  std::uint64_t offset = 0;
  std::size_t bytes = 0;
  friend auto operator<=>(const Shape&, const Shape&) = default;
};

struct Dump {
  JitImage image;
  std::uint32_t length = 0;  // announced
  Span header;
  std::optional<std::uint64_t> base{};  // what the offset of its first line was
  std::size_t last_fed = 0;             // which line of the log brought bytes last
  bool is_whole() const { return image.code.size() == length; }
  // Whether a whole dump has such a line behind the first `from` bytes.
  bool has(const Shape& line, std::size_t from = 0) const {
    const auto has_at = [&](std::uint64_t first) {
      const std::uint64_t at = line.offset - first;
      return at >= from && at < length && at % kLineBytes == 0 &&
             line.bytes == std::min<std::uint64_t>(length - at, kLineBytes);
    };
    return has_at(base.value_or(0)) || has_at(image.address);
  }
};

Error not_told_apart(const Dump& dump) {
  return {.message = "the code of this program cannot be told from another's",
          .place = dump.header,
          .hint = "programs are mixed line by line, and lines are missing"};
}

// Set where a dump of which no line was seen begins with a line of that many bytes.
using FirstLines = std::bitset<kLineBytes + 1>;

// From a header to the next one.
struct Section {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::string_view program{};  // what the header says, behind the time
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
      if (Status status = line(begin, end); !status) {
        if (!alone_ || dumps_.empty()) return fail(std::move(status).error());
        if (!problem_) problem_ = std::move(status).error();
      }
      begin = end + 1;
      ++line_number_;
    }
    if (problem_) return fail(std::move(*problem_));
    if (!open_.empty()) return fail(cut_short(dumps_[open_.front()]));
    if (dumps_.empty())
      return fail("no program was found in the log", {},
                  "lines with 'flen=' and 'JIT code:' come with net.core.bpf_jit_enable=2");
    std::vector<JitImage> out;
    out.reserve(dumps_.size());
    for (Dump& dump : dumps_) out.push_back(alone_ ? dump.image : std::move(dump.image));
    return out;
  }

  // Of a dump that was read alone: itself, if its header could be read, and the lines that are too many for it.
  const Dump* dump() const { return dumps_.empty() ? nullptr : &dumps_.front(); }
  const std::set<Shape>& foreign() const { return foreign_; }

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
    if (alone_) WEIR_CHECK(note(dumps_.front(), *offset, begin + colon + 1, end));
    const std::optional<std::size_t> waiting = waiting_for(*offset);
    if (!waiting) {
      if (alone_ || !any_fed_) return {};
      return fail(fmt::format("no program waits for bytes at {:#x}", *offset), span(start, end),
                  "lines are missing or twice in the log");
    }
    Dump& dump = dumps_[open_[*waiting]];
    WEIR_TRY(const std::vector<std::uint8_t> bytes, read_bytes(begin + colon + 1, end, &dump));
    const bool is_first = !dump.base;
    if (is_first) dump.base = *offset;
    any_fed_ = true;
    dump.last_fed = line_number_ + 1;
    dump.image.code.insert(dump.image.code.end(), bytes.begin(), bytes.end());
    if (dump.is_whole()) open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(*waiting));
    if (is_first && unseen_.test(std::min<std::size_t>(bytes.size(), kLineBytes))) return fail(not_told_apart(dump));
    return {};
  }

  // A line of the dump that is read alone, or of one whose header was lost, or stands above. Where the dump has or
  // awaits a line of this shape, either may be its own.
  Status note(const Dump& dump, std::uint64_t offset, std::size_t begin, std::size_t end) {
    WEIR_TRY(const std::vector<std::uint8_t> bytes, read_bytes(begin, end, nullptr));
    const Shape shape{offset, bytes.size()};
    const bool is_own = dump.has(shape);
    if (is_own && own_.insert(shape).second) return {};
    foreign_.insert(shape);
    const bool is_begun = dump.base && !dump.is_whole() && offset != *dump.base + dump.image.code.size();
    if (is_own || is_begun) return fail(not_told_apart(dump));
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
  // Of a dump that is read alone:
  std::optional<Error> problem_;  // the first
  std::set<Shape> own_;
  std::set<Shape> foreign_;
};

std::vector<Section> sections_of(std::string_view text) {
  std::vector<Section> sections;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = text.substr(begin, end - begin);
    if (is_header(line)) sections.push_back({begin, end, line.substr(line.find("flen="))});
    else if (!sections.empty() && line.find(kCode) != std::string_view::npos) sections.back().has_code = true;
    if (!sections.empty()) sections.back().end = end;
    begin = end + 1;
  }
  return sections;
}

struct Outcome {
  Result<JitImage> image;
  Dump dump;
};

// Refuses those that may have each other's line, since there is one more of this shape than was taken.
void refuse_mixed(std::deque<Outcome>& recent, const Shape& line) {
  const auto lacks = [&](const Outcome& one) { return !one.image && one.dump.has(line, one.dump.image.code.size()); };
  for (auto one = std::find_if(recent.begin(), recent.end(), lacks); one != recent.end(); ++one)
    if (one->image && one->dump.has(line)) one->image = fail(not_told_apart(one->dump));
}

// Each dump alone, in their order: `take` gets the dump or what is wrong with it.
template <typename Take>
void read_alone(std::string_view text, const Take& take) {
  std::vector<std::pair<std::string_view, std::size_t>>
      begun;  // directly before, without a line: and their first one's
  std::deque<Outcome> recent;
  for (const Section& section : sections_of(text)) {
    FirstLines unseen;
    for (const auto& [program, line] : begun)
      if (section.has_code && program != section.program) unseen.set(line);  // a header twice is one program
    LogReader reader(text, section, unseen);
    Result<std::vector<JitImage>> one = reader.run();
    const Dump dump = reader.dump() != nullptr ? *reader.dump() : Dump{};
    if (section.has_code) {
      begun.clear();
    } else {
      begun.emplace_back(section.program, std::min(dump.length, kLineBytes));
    }
    for (const Shape& line : reader.foreign()) refuse_mixed(recent, line);
    if (one) recent.push_back({std::move(one->front()), dump});
    else recent.push_back({fail(std::move(one).error()), dump});
    if (recent.size() <= kMostMixed) continue;
    take(std::move(recent.front().image));
    recent.pop_front();
  }
  for (Outcome& one : recent) take(std::move(one.image));
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
