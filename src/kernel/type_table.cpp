// Types in the running kernel. Exports TypeTable, types_of. Source: Documentation/bpf/btf.rst; kernel/bpf/btf.c.
#include <weir/kernel/type_table.h>

#include <linux/btf.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include <weir/ebpf/opcode_info.h>

#include "kernel/bpf_call.h"

namespace weir::kernel {
namespace {

// The string table: each text once.
class Strings {
 public:
  std::uint32_t add(const std::string& text) {
    if (text.empty()) return 0;
    const auto [at, is_new] = known_.emplace(text, static_cast<std::uint32_t>(bytes_.size()));
    // A zero ends a string, wherever it came from.
    if (is_new) bytes_.insert(bytes_.end(), text.c_str(), text.c_str() + std::strlen(text.c_str()) + 1);
    return at->second;
  }
  const std::vector<std::uint8_t>& bytes() const { return bytes_; }

 private:
  std::vector<std::uint8_t> bytes_{0};
  std::unordered_map<std::string, std::uint32_t> known_;
};

// What the kernel takes for a function's name: an identifier of C.
std::string identifier(const std::string& name) {
  std::string out;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    const bool digit = c >= '0' && c <= '9';
    if (digit && out.empty()) out += '_';
    out += letter || digit ? c : '_';
  }
  return (out.empty() ? "program" : out).substr(0, 127);
}

// The kernel wants a record for each function that its verifier sees: those that are called or pointed to.
std::vector<ebpf::Function> functions_of(const ebpf::Program& program) {
  std::set<std::uint32_t> starts{0};
  for (std::size_t i = 0; i < program.size(); ++i) {
    const ebpf::OpcodeInfo* row = ebpf::find(program.instructions[i]);
    if (row == nullptr) continue;
    if (row->shape == ebpf::OperandShape::kCallLocal || row->shape == ebpf::OperandShape::kWideFunction)
      starts.insert(static_cast<std::uint32_t>(static_cast<std::int64_t>(i) + 1 + program.instructions[i].immediate));
    if (ebpf::is_wide(row->shape)) ++i;
  }
  std::vector<ebpf::Function> functions;
  for (const std::uint32_t start : starts) {
    const auto named = std::find_if(program.functions.begin(), program.functions.end(),
                                    [&](const ebpf::Function& function) { return function.instruction == start; });
    functions.push_back({.name = named != program.functions.end() ? named->name
                                 : start == 0                     ? program.name
                                                                  : "function_" + std::to_string(start),
                         .instruction = start});
  }
  return functions;
}

}  // namespace

Result<TypeTable> TypeTable::load(ByteSpan bytes) {
  std::vector<char> log(1u << 16, '\0');
  bpf_attr attributes = empty_attributes();
  attributes.btf = pointer_of(bytes.data());
  attributes.btf_size = static_cast<std::uint32_t>(bytes.size());
  Result<int> descriptor = bpf_call(BPF_BTF_LOAD, attributes, "BPF_BTF_LOAD");
  if (descriptor) return TypeTable(FileDescriptor(*descriptor));
  // Once more, to hear why.
  attributes.btf_log_buf = pointer_of(log.data());
  attributes.btf_log_size = static_cast<std::uint32_t>(log.size());
  attributes.btf_log_level = 1;
  if (const Result<int> again = bpf_call(BPF_BTF_LOAD, attributes, "BPF_BTF_LOAD"); again)
    return TypeTable(FileDescriptor(*again));
  Error error = std::move(descriptor).error();
  if (std::string why = last_words(log.data()); !why.empty()) error.hint = std::move(why);
  return fail(std::move(error));
}

Result<TypeTable> TypeTable::open_id(std::uint32_t id) {
  WEIR_TRY(FileDescriptor descriptor, object_by_id(BPF_BTF_GET_FD_BY_ID, id, "BPF_BTF_GET_FD_BY_ID"));
  return TypeTable(std::move(descriptor));
}

Result<std::uint32_t> TypeTable::id() const {
  bpf_btf_info info;
  set_zero(info);
  WEIR_CHECK(object_info(descriptor(), info));
  return info.id;
}

Result<std::string> TypeTable::name() const {
  char name[64] = {};
  bpf_btf_info info;
  set_zero(info);
  info.name = pointer_of(name);
  info.name_len = sizeof name;
  WEIR_CHECK(object_info(descriptor(), info));
  return std::string(name, strnlen(name, sizeof name));
}

Result<std::vector<std::uint8_t>> TypeTable::bytes() const {
  bpf_btf_info info;
  set_zero(info);
  WEIR_CHECK(object_info(descriptor(), info));
  std::vector<std::uint8_t> out(info.btf_size);
  set_zero(info);
  info.btf = pointer_of(out.data());
  info.btf_size = static_cast<std::uint32_t>(out.size());
  WEIR_CHECK(object_info(descriptor(), info));
  return out;
}

ProgramTypes types_of(const ebpf::Program& program) {
  ProgramTypes out;
  Strings strings;
  // Types 1 and 2: int, and a function that takes nothing and returns it.
  std::vector<std::uint32_t> types = {
      strings.add("int"), BTF_KIND_INT << 24, 4, 32 | BTF_INT_SIGNED << 24, 0, BTF_KIND_FUNC_PROTO << 24, 1};
  const std::vector<ebpf::Function> functions = functions_of(program);
  std::uint32_t id = 3;
  for (const ebpf::Function& function : functions) {
    types.insert(types.end(), {strings.add(identifier(function.name)), BTF_KIND_FUNC << 24, 2});
    out.functions.insert(out.functions.end(), {function.instruction, id++});
  }
  // Each function must begin with a line of its own.
  std::size_t next = 0;
  std::int64_t last = -1;
  for (const ebpf::SourceLine& line : program.lines) {
    if (line.instruction <= last || line.instruction >= program.size()) continue;
    last = line.instruction;
    const std::uint32_t file = strings.add(line.file.empty() ? "program" : line.file);
    const std::uint32_t text = strings.add(line.text.empty() ? " " : line.text);
    for (; next < functions.size() && functions[next].instruction < line.instruction; ++next)
      out.lines.insert(out.lines.end(), {functions[next].instruction, file, text, line.line << 10});
    if (next < functions.size() && functions[next].instruction == line.instruction) ++next;
    out.lines.insert(out.lines.end(), {line.instruction, file, text, line.line << 10 | (line.column & 0x3ff)});
  }
  for (; !out.lines.empty() && next < functions.size(); ++next)
    out.lines.insert(out.lines.end(), {functions[next].instruction, out.lines[1], out.lines[2], 0});
  const btf_header header{.magic = BTF_MAGIC,
                          .version = BTF_VERSION,
                          .flags = 0,
                          .hdr_len = sizeof(btf_header),
                          .type_off = 0,
                          .type_len = static_cast<std::uint32_t>(types.size() * 4),
                          .str_off = static_cast<std::uint32_t>(types.size() * 4),
                          .str_len = static_cast<std::uint32_t>(strings.bytes().size())};
  out.bytes.resize(sizeof header + header.type_len + header.str_len);
  std::memcpy(out.bytes.data(), &header, sizeof header);
  std::memcpy(out.bytes.data() + sizeof header, types.data(), header.type_len);
  std::memcpy(out.bytes.data() + sizeof header + header.type_len, strings.bytes().data(), header.str_len);
  return out;
}

}  // namespace weir::kernel
