// Reads `tcpdump -d` listings. Exports read_listing.
#include "reference/listing.h"

#include <cstdio>
#include <string>

namespace weir::reference {
namespace {

using cbpf::Instruction;

// <linux/bpf_common.h>: classes, sizes, modes, operations.
constexpr std::uint16_t kLd = 0x00, kLdx = 0x01, kSt = 0x02, kStx = 0x03, kAlu = 0x04, kJmp = 0x05, kRet = 0x06,
                        kMisc = 0x07, kHalf = 0x08, kByte = 0x10, kAbsolute = 0x20, kIndirect = 0x40, kMemory = 0x60,
                        kWireLength = 0x80, kHeaderLength = 0xa0, kX = 0x08;

struct Name {
  std::string_view text;
  std::uint16_t code;
};
constexpr Name kArithmetic[] = {{"add", 0x00}, {"sub", 0x10}, {"mul", 0x20}, {"div", 0x30}, {"or", 0x40}, {"and", 0x50},
                                {"lsh", 0x60}, {"rsh", 0x70}, {"neg", 0x80}, {"mod", 0x90}, {"xor", 0xa0}};
constexpr Name kJumps[] = {{"jeq", 0x10}, {"jgt", 0x20}, {"jge", 0x30}, {"jset", 0x40}};
struct Extension {
  std::string_view text;
  cbpf::Extension number;
};
constexpr Extension kExtensions[] = {{"[type]", cbpf::Extension::kType},
                                     {"[ifidx]", cbpf::Extension::kInterfaceIndex},
                                     {"[vlanp]", cbpf::Extension::kVlanPresent},
                                     {"[vlan_tci]", cbpf::Extension::kVlanTci}};

std::optional<std::uint16_t> find(const auto& names, std::string_view text) {
  for (const Name& name : names)
    if (name.text == text) return name.code;
  return std::nullopt;
}

bool scan(const std::string& text, const char* form, std::uint32_t& k) {
  int consumed = 0;
  const std::string whole = std::string(form) + "%n";
  return std::sscanf(text.c_str(), whole.c_str(), &k, &consumed) == 1 &&  // NOLINT(cert-err34-c)
         static_cast<std::size_t>(consumed) == text.size();
}

std::optional<Instruction> load(std::uint16_t base, const std::string& operand) {
  Instruction out;
  for (const Extension& extension : kExtensions)
    if (extension.text == operand) {
      out.code = static_cast<std::uint16_t>(base | kAbsolute);
      out.k = cbpf::kExtensionBase + static_cast<std::uint32_t>(extension.number);
      return out;
    }
  std::uint16_t mode = 0;
  if (operand == "#pktlen") mode = kWireLength;
  else if (scan(operand, "#%i", out.k)) mode = 0;
  else if (scan(operand, "M[%i]", out.k)) mode = kMemory;
  else if (scan(operand, "[x + %i]", out.k)) mode = kIndirect;
  else if (scan(operand, "4*([%i]&0xf)", out.k)) mode = kHeaderLength;
  else if (scan(operand, "[%i]", out.k)) mode = kAbsolute;
  else return std::nullopt;
  out.code = static_cast<std::uint16_t>(base | mode);
  return out;
}

std::optional<Instruction> jump(std::uint16_t code, std::string operand, std::uint32_t index) {
  Instruction out;
  const std::size_t targets = operand.find(" jt ");
  std::uint32_t jt = 0;
  std::uint32_t jf = 0;
  if (targets == std::string::npos ||
      std::sscanf(operand.c_str() + targets, " jt %u jf %u", &jt, &jf) != 2)  // NOLINT(cert-err34-c)
    return std::nullopt;
  operand.resize(operand.find(' '));
  out.code = static_cast<std::uint16_t>(kJmp | code);
  if (operand == "x") out.code |= kX;
  else if (!scan(operand, "#%i", out.k)) return std::nullopt;
  out.jt = static_cast<std::uint8_t>(jt - index - 1);
  out.jf = static_cast<std::uint8_t>(jf - index - 1);
  return out;
}

std::optional<Instruction> read_instruction(const std::string& mnemonic, const std::string& operand,
                                            std::uint32_t index) {
  Instruction out;
  if (mnemonic == "ld") return load(kLd, operand);
  if (mnemonic == "ldh") return load(kLd | kHalf, operand);
  if (mnemonic == "ldb") return load(kLd | kByte, operand);
  if (mnemonic == "ldx") return load(kLdx, operand);
  if (mnemonic == "ldxb") return load(kLdx | kByte, operand);
  if (mnemonic == "tax") return Instruction{kMisc, 0, 0, 0};
  if (mnemonic == "txa") return Instruction{kMisc | 0x80, 0, 0, 0};
  if (mnemonic == "st" || mnemonic == "stx") {
    out.code = mnemonic == "st" ? kSt : kStx;
    if (!scan(operand, "M[%i]", out.k)) return std::nullopt;
    return out;
  }
  if (mnemonic == "ret") {
    out.code = kRet;
    if (!scan(operand, "#%i", out.k)) return std::nullopt;
    return out;
  }
  if (mnemonic == "ja") {
    out.code = kJmp;
    std::uint32_t target = 0;
    if (!scan(operand, "%i", target)) return std::nullopt;
    out.k = target - index - 1;
    return out;
  }
  if (const auto code = find(kJumps, mnemonic)) return jump(*code, operand, index);
  if (const auto code = find(kArithmetic, mnemonic)) {
    out.code = static_cast<std::uint16_t>(kAlu | *code);
    if (operand == "x") out.code |= kX;
    else if (!operand.empty() && !scan(operand, "#%i", out.k)) return std::nullopt;
    return out;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::vector<Instruction>> read_listing(std::string_view text) {
  std::vector<Instruction> out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string line(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty()) continue;
    const std::size_t close = line.find(") ");
    if (line.front() != '(' || close == std::string::npos) return std::nullopt;
    const std::string rest = line.substr(close + 2);
    const std::size_t space = rest.find(' ');
    const std::size_t operand = rest.find_first_not_of(' ', space);
    const auto instruction = read_instruction(
        rest.substr(0, space), operand == std::string::npos ? "" : rest.substr(operand),
        static_cast<std::uint32_t>(out.size()));
    if (!instruction) return std::nullopt;
    out.push_back(*instruction);
  }
  return out;
}

}  // namespace weir::reference
