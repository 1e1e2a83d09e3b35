// Programs as JSON. Exports read_json.
//
// What is read: the object that weir writes ({"version": 1, "instructions": [[40, 0, 0, 12], ...]}), or such an array
// alone. An instruction is an array of code, jt, jf, k, or an object with these names. Names that are not known are
// passed over, so objects that carry more (the expression, the link type) are read, too. RFC 8259, but numbers are
// whole ones; nesting ends at 64.
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "cbpf/cursor.h"
#include "cbpf/readers.h"

namespace weir::cbpf {
namespace {

class Json {
 public:
  explicit Json(std::string_view text) : text_(text), cursor_(text, 0, text.size()) {}

  Result<Program> run() {
    cursor_.skip();
    if (cursor_.peek() == '[') WEIR_CHECK(instructions());
    else WEIR_CHECK(document());
    cursor_.skip();
    if (!cursor_.done()) return fail("more text after the program", cursor_.here());
    if (program_.empty()) return fail("the program is empty", cursor_.here());
    return Program(std::move(program_));
  }

 private:
  Status expect(std::string_view what) {
    cursor_.skip();
    if (cursor_.take(what)) return {};
    return fail(fmt::format("expected '{}'", what), cursor_.here());
  }

  // Calls use(name) for each name of an object; use reads the value.
  template <typename Use>
  Status object(Use use) {
    WEIR_CHECK(expect("{"));
    cursor_.skip();
    if (cursor_.take("}")) return {};
    for (;;) {
      cursor_.skip();
      WEIR_TRY(const std::string_view name, string());
      WEIR_CHECK(expect(":"));
      cursor_.skip();
      WEIR_CHECK(use(name));
      cursor_.skip();
      if (cursor_.take("}")) return {};
      if (!cursor_.take(",")) return fail("expected ',' or '}'", cursor_.here());
    }
  }
  template <typename Use>
  Status array(Use use) {
    WEIR_CHECK(expect("["));
    cursor_.skip();
    if (cursor_.take("]")) return {};
    for (;;) {
      cursor_.skip();
      WEIR_CHECK(use());
      cursor_.skip();
      if (cursor_.take("]")) return {};
      if (!cursor_.take(",")) return fail("expected ',' or ']'", cursor_.here());
    }
  }

  // The characters between the quotes as they stand: names that matter have no escapes.
  Result<std::string_view> string() {
    const std::size_t start = cursor_.at();
    if (!cursor_.take("\"")) return fail("expected a string", cursor_.here());
    while (!cursor_.done() && cursor_.peek() != '"') cursor_.move_to(cursor_.at() + (cursor_.peek() == '\\' ? 2 : 1));
    if (!cursor_.take("\""))
      return fail("the string is not closed",
                  Span{static_cast<std::uint32_t>(start), static_cast<std::uint32_t>(start + 1)});
    return text_.substr(start + 1, cursor_.at() - start - 2);
  }

  Status skip_value(int depth) {
    if (depth > 64) return fail("nested too deeply", cursor_.here());
    const char c = cursor_.peek();
    if (c == '{') return object([&](std::string_view) { return skip_value(depth + 1); });
    if (c == '[') return array([&] { return skip_value(depth + 1); });
    if (c == '"') {
      WEIR_TRY([[maybe_unused]] const std::string_view ignored, string());
      return {};
    }
    const std::size_t start = cursor_.at();
    while (is_letter(cursor_.peek()) || is_digit(cursor_.peek()) || cursor_.peek() == '-' || cursor_.peek() == '+' ||
           cursor_.peek() == '.')
      cursor_.move_to(cursor_.at() + 1);
    if (cursor_.at() == start) return fail("expected a value", cursor_.here());
    return {};
  }

  Status document() {
    bool found = false;
    std::optional<std::uint32_t> count;
    Span count_span;
    WEIR_CHECK(object([&](std::string_view name) -> Status {
      const std::size_t start = cursor_.at();
      if (name == "version") {
        WEIR_TRY(const std::uint32_t version, cursor_.number());
        if (version != 1) return fail(fmt::format("version {} is not known", version), cursor_.since(start), "1 is");
      } else if (name == "instruction_count") {
        WEIR_TRY(count, cursor_.number());
        count_span = cursor_.since(start);
      } else if (name == "instructions") {
        if (found) return fail("a second list of instructions", cursor_.here());
        found = true;
        return instructions();
      } else {
        return skip_value(0);
      }
      return {};
    }));
    if (!found) return fail("the object has no \"instructions\"", cursor_.here(0));
    if (count && *count != program_.size())
      return fail(fmt::format("{} instructions, but {} announced", program_.size(), *count), count_span);
    return {};
  }

  Status instructions() {
    return array([&]() -> Status {
      if (program_.size() == kUserMaximumLength)
        return fail(fmt::format("more than {} instructions", kUserMaximumLength), cursor_.here());
      WEIR_TRY(const Instruction one, instruction());
      program_.push_back(one);
      return {};
    });
  }

  Result<Instruction> instruction() {
    static constexpr std::string_view kNames[] = {"code", "jt", "jf", "k"};
    static constexpr std::uint32_t kLimits[] = {0xffff, 0xff, 0xff, 0xffffffff};
    std::uint32_t values[4] = {};
    const std::size_t start = cursor_.at();
    std::size_t at = 0;
    if (cursor_.peek() == '[') {
      WEIR_CHECK(array([&]() -> Status {
        if (at == 4) return fail("an instruction has four numbers", cursor_.here(), "code, jt, jf, k");
        WEIR_TRY(values[at], cursor_.number(kLimits[at]));
        ++at;
        return {};
      }));
    } else {
      bool seen[4] = {};
      WEIR_CHECK(object([&](std::string_view name) -> Status {
        for (std::size_t i = 0; i < 4; ++i) {
          if (name != kNames[i] && !(i == 0 && name == "op")) continue;
          if (seen[i]) return fail(fmt::format("'{}' is given twice", name), cursor_.here());
          seen[i] = true;
          ++at;
          WEIR_TRY(values[i], cursor_.number(kLimits[i]));
          return {};
        }
        return skip_value(0);
      }));
    }
    if (at != 4) return fail("an instruction has four numbers", cursor_.since(start), "code, jt, jf, k");
    return Instruction{static_cast<std::uint16_t>(values[0]), static_cast<std::uint8_t>(values[1]),
                       static_cast<std::uint8_t>(values[2]), values[3]};
  }

  std::string_view text_;
  Cursor cursor_;
  std::vector<Instruction> program_;
};

}  // namespace

Result<Program> read_json(std::string_view text) { return Json(text).run(); }

}  // namespace weir::cbpf
