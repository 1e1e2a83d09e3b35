// Constants and struct literals of source code. Exports what source_names.h declares.
//
// A Go type is a row: its fields by Go's names, and how they make a typed instruction. Fields that are left out are 0,
// as in Go; so `LoadAbsolute{Off: 12}` has size 0 and is refused when it is assembled, there and here.
#include "cbpf/source_names.h"

#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include <fmt/format.h>

#include <weir/base/suggest.h>

namespace weir::cbpf {
namespace {

// <linux/bpf_common.h>; the offsets of extensions are SKF_AD_* of <linux/filter.h>, which are added to SKF_AD_OFF.
constexpr std::pair<std::string_view, std::int64_t> kConstants[] = {
    {"BPF_LD", 0x00},
    {"BPF_LDX", 0x01},
    {"BPF_ST", 0x02},
    {"BPF_STX", 0x03},
    {"BPF_ALU", 0x04},
    {"BPF_JMP", 0x05},
    {"BPF_RET", 0x06},
    {"BPF_MISC", 0x07},
    {"BPF_W", 0x00},
    {"BPF_H", 0x08},
    {"BPF_B", 0x10},
    {"BPF_IMM", 0x00},
    {"BPF_ABS", 0x20},
    {"BPF_IND", 0x40},
    {"BPF_MEM", 0x60},
    {"BPF_LEN", 0x80},
    {"BPF_MSH", 0xa0},
    {"BPF_ADD", 0x00},
    {"BPF_SUB", 0x10},
    {"BPF_MUL", 0x20},
    {"BPF_DIV", 0x30},
    {"BPF_OR", 0x40},
    {"BPF_AND", 0x50},
    {"BPF_LSH", 0x60},
    {"BPF_RSH", 0x70},
    {"BPF_NEG", 0x80},
    {"BPF_MOD", 0x90},
    {"BPF_XOR", 0xa0},
    {"BPF_JA", 0x00},
    {"BPF_JEQ", 0x10},
    {"BPF_JGT", 0x20},
    {"BPF_JGE", 0x30},
    {"BPF_JSET", 0x40},
    {"BPF_K", 0x00},
    {"BPF_X", 0x08},
    {"BPF_A", 0x10},
    {"BPF_TAX", 0x00},
    {"BPF_TXA", 0x80},
    {"SKF_AD_OFF", -0x1000},
    {"SKF_NET_OFF", -0x100000},
    {"SKF_LL_OFF", -0x200000},
    {"SKF_AD_PROTOCOL", 0},
    {"SKF_AD_PKTTYPE", 4},
    {"SKF_AD_IFINDEX", 8},
    {"SKF_AD_NLATTR", 12},
    {"SKF_AD_NLATTR_NEST", 16},
    {"SKF_AD_MARK", 20},
    {"SKF_AD_QUEUE", 24},
    {"SKF_AD_HATYPE", 28},
    {"SKF_AD_RXHASH", 32},
    {"SKF_AD_CPU", 36},
    {"SKF_AD_ALU_XOR_X", 40},
    {"SKF_AD_VLAN_TAG", 44},
    {"SKF_AD_VLAN_TAG_PRESENT", 48},
    {"SKF_AD_PAY_OFFSET", 52},
    {"SKF_AD_RANDOM", 56},
    {"SKF_AD_VLAN_TPID", 60},
    {"RegA", 0},
    {"RegX", 1},
#define WEIR_GO_OPERATION(value, go, mnemonic) {go, static_cast<std::int64_t>(typed::Operation::value)},
#define WEIR_GO_TEST(value, go) {go, static_cast<std::int64_t>(typed::Test::value)},
#define WEIR_GO_EXTENSION(value, go) {go, static_cast<std::int64_t>(typed::Extension::value)},
#include "cbpf/go_names.def"
};

struct Tables {
  std::map<std::string_view, std::int64_t> constants{std::begin(kConstants), std::end(kConstants)};
  std::vector<std::string_view> names;
  Tables() {
    for (const auto& [name, value] : kConstants) names.push_back(name);
  }
};
const Tables& tables() {
  static const Tables made;
  return made;
}

// The values of a literal's fields, in the order that its type's row names them.
using Values = std::array<std::uint32_t, 4>;

struct GoType {
  std::string_view name;
  std::array<std::string_view, 4> fields;
  typed::Instruction (*make)(const Values& v);
};

using namespace typed;
constexpr std::uint8_t byte(std::uint32_t value) { return static_cast<std::uint8_t>(value); }
Register reg(std::uint32_t value) { return static_cast<Register>(value); }

constexpr GoType kGoTypes[] = {
    {"LoadConstant",
     {"Dst", "Val"},
     [](const Values& v) -> typed::Instruction {
       return LoadConstant{reg(v[0]), v[1]};
     }},
    {"LoadScratch",
     {"Dst", "N"},
     [](const Values& v) -> typed::Instruction {
       return LoadScratch{reg(v[0]), v[1]};
     }},
    {"LoadAbsolute",
     {"Off", "Size"},
     [](const Values& v) -> typed::Instruction {
       return LoadAbsolute{v[0], v[1]};
     }},
    {"LoadIndirect",
     {"Off", "Size"},
     [](const Values& v) -> typed::Instruction {
       return LoadIndirect{v[0], v[1]};
     }},
    {"LoadMemShift", {"Off"}, [](const Values& v) -> typed::Instruction { return LoadMemShift{v[0]}; }},
    {"LoadExtension",
     {"Num"},
     [](const Values& v) -> typed::Instruction { return LoadExtension{static_cast<typed::Extension>(v[0])}; }},
    {"StoreScratch",
     {"Src", "N"},
     [](const Values& v) -> typed::Instruction {
       return StoreScratch{reg(v[0]), v[1]};
     }},
    {"ALUOpConstant",
     {"Op", "Val"},
     [](const Values& v) -> typed::Instruction {
       return ALUOpConstant{static_cast<Operation>(v[0]), v[1]};
     }},
    {"ALUOpX", {"Op"}, [](const Values& v) -> typed::Instruction { return ALUOpX{static_cast<Operation>(v[0])}; }},
    {"NegateA", {}, [](const Values&) -> typed::Instruction { return NegateA{}; }},
    {"Jump", {"Skip"}, [](const Values& v) -> typed::Instruction { return Jump{v[0]}; }},
    {"JumpIf",
     {"Cond", "Val", "SkipTrue", "SkipFalse"},
     [](const Values& v) -> typed::Instruction {
       return JumpIf{static_cast<Test>(v[0]), v[1], byte(v[2]), byte(v[3])};
     }},
    {"JumpIfX",
     {"Cond", "SkipTrue", "SkipFalse"},
     [](const Values& v) -> typed::Instruction {
       return JumpIfX{static_cast<Test>(v[0]), byte(v[1]), byte(v[2])};
     }},
    {"RetA", {}, [](const Values&) -> typed::Instruction { return RetA{}; }},
    {"RetConstant", {"Val"}, [](const Values& v) -> typed::Instruction { return RetConstant{v[0]}; }},
    {"TXA", {}, [](const Values&) -> typed::Instruction { return TXA{}; }},
    {"TAX", {}, [](const Values&) -> typed::Instruction { return TAX{}; }},
    {"RawInstruction",
     {"Op", "Jt", "Jf", "K"},
     [](const Values& v) -> typed::Instruction {
       return RawInstruction{static_cast<std::uint16_t>(v[0]), byte(v[1]), byte(v[2]), v[3]};
     }},
};

constexpr auto kGoTypeNames = [] {
  std::array<std::string_view, std::size(kGoTypes)> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kGoTypes[i].name;
  return names;
}();

const GoType* find_go_type(std::string_view name) {
  for (const GoType& row : kGoTypes)
    if (row.name == name) return &row;
  return nullptr;
}

// The largest value of a field, by its name; Op is a byte's worth in ALUOps and 16 bits in RawInstruction.
std::uint32_t limit_of(const GoType& type, std::string_view field) {
  if (field == "Op") return type.name == "RawInstruction" ? 0xffff : 0xa0;
  if (field == "Dst" || field == "Src") return 1;
  if (field == "Cond") return 7;
  if (field == "SkipTrue" || field == "SkipFalse" || field == "Jt" || field == "Jf") return 0xff;
  return 0xffffffff;
}

}  // namespace

std::optional<std::int64_t> find_constant(std::string_view name) {
  const auto found = tables().constants.find(name);
  return found == tables().constants.end() ? std::nullopt : std::optional(found->second);
}

std::span<const std::string_view> constant_names() { return tables().names; }

bool is_go_type(std::string_view name) { return find_go_type(name) != nullptr; }
std::span<const std::string_view> go_types() { return kGoTypeNames; }

Result<typed::Instruction> go_literal(std::string_view type_name, std::span<const SourceField> fields, Span place) {
  const GoType& type = *find_go_type(type_name);
  Values values{};
  std::array<bool, 4> given{};
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const SourceField& field = fields[i];
    std::size_t at = 0;
    if (field.name.empty()) at = i;  // by position
    else
      while (at < type.fields.size() && type.fields[at] != field.name) ++at;
    if (at >= type.fields.size() || type.fields[at].empty()) {
      const auto known = std::find(type.fields.begin(), type.fields.end(), std::string_view());
      if (field.name.empty()) return fail(fmt::format("{} has fewer fields", type.name), field.value_span);
      return fail(fmt::format("{} has no field '{}'", type.name, field.name), field.span,
                  did_you_mean(field.name, std::span(type.fields.begin(), known)));
    }
    if (given[at]) return fail(fmt::format("field '{}' is given twice", type.fields[at]), field.span);
    given[at] = true;
    const std::uint32_t most = limit_of(type, type.fields[at]);
    const bool negative = field.value < 0 && most == 0xffffffff && field.value >= -0x80000000LL;
    if (!negative && (field.value < 0 || field.value > most))
      return fail(fmt::format("{} is not between 0 and {}", field.value, most), field.value_span);
    values[at] = static_cast<std::uint32_t>(field.value);
  }
  const typed::Instruction made = type.make(values);
  if (Result<RawInstruction> bytes = assemble(made); !bytes) {
    bytes.error().place = place;
    return fail(std::move(bytes.error()));
  }
  return made;
}

}  // namespace weir::cbpf
