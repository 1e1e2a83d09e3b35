// The table of forms. Exports formats, info, find_format, format_names and fits.
#include <weir/cbpf/text.h>

#include <array>

#include <fmt/format.h>

namespace weir::cbpf {
namespace {

// In the order of Format.
constexpr std::array kFormats = {
    FormatInfo{Format::kText, "text", "a listing, as tcpdump -d prints it", false},
    FormatInfo{Format::kC, "c", "rows of a C array, as tcpdump -dd prints them", true},
    FormatInfo{Format::kDecimal, "decimal", "the count and decimal rows, as tcpdump -ddd prints them", true},
    FormatInfo{Format::kAssembly, "asm", "assembler language", true},
    FormatInfo{Format::kBytecode, "bytecode", "one line of numbers, as bpf_asm prints it", true},
    FormatInfo{Format::kBpfAsmC, "bpf_asm-c", "rows of a C array, as bpf_asm -c prints them", true},
    FormatInfo{Format::kCArray, "c-array", "a C declaration of a struct sock_filter array and its sock_fprog", true},
    FormatInfo{Format::kXtBpf, "xt_bpf", "the line that netfilter's xt_bpf takes (at most 64 instructions)", true},
    FormatInfo{Format::kIptables, "iptables", "a match of iptables: -m bpf --bytecode \"...\"", true},
    FormatInfo{Format::kTc, "tc", "a classifier of tc: bpf bytecode '...'", true},
    FormatInfo{Format::kHex, "hex", "the bytes of struct sock_filter, little-endian, one instruction a line", true},
    FormatInfo{Format::kBinary, "binary", "the bytes of struct sock_filter, little-endian", true},
    FormatInfo{Format::kJson, "json", "a JSON object", true},
    FormatInfo{Format::kGo, "go", "Go: []bpf.Instruction of golang.org/x/net/bpf", true},
    FormatInfo{Format::kGoRaw, "go-raw", "Go: []bpf.RawInstruction of golang.org/x/net/bpf", true},
    FormatInfo{Format::kXNet, "xnet", "text, as golang.org/x/net/bpf prints instructions", true},
    FormatInfo{Format::kRust, "rust", "Rust: an array of libc::sock_filter", true},
    FormatInfo{Format::kCFunction, "c-func", "a function in C that gives the verdict", false, false},
    FormatInfo{Format::kDot, "dot", "the blocks and jumps, for Graphviz", false, false},
    FormatInfo{Format::kMermaid, "mermaid", "the blocks and jumps, for Mermaid", false, false},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kFormats.size(); ++i)
    if (static_cast<std::size_t>(kFormats[i].format) != i) return false;
  return true;
}
static_assert(in_order());

constexpr std::size_t kXtBpfLength = 64;  // <linux/netfilter/xt_bpf.h>: XT_BPF_MAX_NUM_INSTR

}  // namespace

std::span<const FormatInfo> formats() { return kFormats; }

const FormatInfo& info(Format format) { return kFormats[static_cast<std::size_t>(format)]; }

const FormatInfo* find_format(std::string_view name) {
  for (const FormatInfo& row : kFormats)
    if (row.name == name) return &row;
  return nullptr;
}

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const FormatInfo& row : kFormats) names.emplace_back(row.name);
  return names;
}

Status fits(const Program& program, Format format) {
  if (format == Format::kCFunction) {
    WEIR_TRY([[maybe_unused]] const Checked checked, check(program, {.target = Target::kUser}));
    return {};
  }
  const bool netfilter = format == Format::kXtBpf || format == Format::kIptables;
  const std::size_t limit = netfilter ? kXtBpfLength : format == Format::kTc ? kMaximumLength : SIZE_MAX;
  if (program.size() <= limit) return {};
  return fail(Error{.code = ErrorCode::kLimit,
                    .message = fmt::format("the program has {} instructions, {} takes at most {}", program.size(),
                                           netfilter ? "xt_bpf" : "tc", limit),
                    .hint = netfilter ? "load it with 'tc', or pin it and match '-m bpf --object-pinned'" : ""});
}

}  // namespace weir::cbpf
