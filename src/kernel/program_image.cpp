// Machine code of programs, read back. Exports program_image, open_program, compile.
//
// To learn which machine code belongs to which instruction, a program is loaded with line information: each source line
// is a record, and the kernel tells for each record where its code is. Line information needs type information (BTF);
// the smallest that will do, one function without arguments, is made here. Source: Documentation/bpf/btf.rst.
#include <weir/kernel/program_image.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/bpf.h>
#include <linux/btf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "kernel/bpf_call.h"

namespace weir::kernel {
namespace {

long call_bpf(int command, bpf_attr& attributes) { return ::syscall(SYS_bpf, command, &attributes, sizeof attributes); }

std::uint64_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

Error refused(const std::string& what, int error) {
  Error made = system_failure(what, error);
  if (error == EPERM) made.hint = "reading programs of the kernel needs CAP_BPF and CAP_PERFMON (root has them)";
  if (error == ENOSYS) made.hint = "this kernel has no bpf(2)";
  return made;
}

// int; a function without arguments that returns it: types 1, 2 and 3. "filter" is at offset 5 of the strings.
std::vector<std::uint32_t> smallest_types() {
  const auto info = [](std::uint32_t kind) { return kind << 24; };
  return {1, info(BTF_KIND_INT),  4, 32 | BTF_INT_SIGNED << 24, 0, info(BTF_KIND_FUNC_PROTO), 1,
          5, info(BTF_KIND_FUNC), 2};
}
constexpr char kStrings[] = "\0int\0filter";

Result<FileDescriptor> load_types() {
  const std::vector<std::uint32_t> types = smallest_types();
  btf_header header{};
  header.magic = BTF_MAGIC;
  header.version = BTF_VERSION;
  header.hdr_len = sizeof header;
  header.type_len = static_cast<std::uint32_t>(types.size() * 4);
  header.str_off = header.type_len;
  header.str_len = sizeof kStrings;
  std::vector<std::uint8_t> bytes(sizeof header + header.type_len + header.str_len);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + sizeof header, types.data(), header.type_len);
  std::memcpy(bytes.data() + sizeof header + header.type_len, kStrings, sizeof kStrings);
  bpf_attr attributes = empty_attributes();
  attributes.btf = address_of(bytes.data());
  attributes.btf_size = static_cast<std::uint32_t>(bytes.size());
  const long descriptor = call_bpf(BPF_BTF_LOAD, attributes);
  if (descriptor < 0) return fail(refused("load type information", errno));
  return FileDescriptor(static_cast<int>(descriptor));
}

// The last line of the verifier's log that says something.
std::string last_word(const std::string& log) {
  std::string last;
  std::size_t begin = 0;
  while (begin < log.size() && log[begin] != '\0') {
    const std::size_t end = std::min(log.find('\n', begin), log.size());
    const std::string line = log.substr(begin, end - begin);
    if (!line.empty() && line.rfind("processed ", 0) != 0) last = line;
    begin = end + 1;
  }
  return last.c_str();
}

Result<FileDescriptor> load(const ebpf::Program& program, int types) {
  std::vector<bpf_line_info> lines;
  for (const ebpf::SourceLine& line : program.lines) lines.push_back({line.instruction, 5, 5, line.line << 10});
  // The first instruction must have a line.
  if (lines.empty() || lines.front().insn_off != 0) lines.insert(lines.begin(), {0, 5, 5, 0});
  const bpf_func_info function{0, 3};
  bpf_attr attributes = empty_attributes();
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insns = address_of(program.instructions.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(program.instructions.size());
  attributes.license = address_of("GPL");
  std::memcpy(attributes.prog_name, "weir", 4);
  attributes.prog_btf_fd = static_cast<std::uint32_t>(types);
  attributes.func_info_rec_size = sizeof function;
  attributes.func_info = address_of(&function);
  attributes.func_info_cnt = 1;
  attributes.line_info_rec_size = sizeof(bpf_line_info);
  attributes.line_info = address_of(lines.data());
  attributes.line_info_cnt = static_cast<std::uint32_t>(lines.size());
  long descriptor = call_bpf(BPF_PROG_LOAD, attributes);
  if (descriptor >= 0) return FileDescriptor(static_cast<int>(descriptor));
  const int error = errno;
  // Once more, to hear why.
  std::string log(1 << 16, '\0');
  attributes.log_level = 1;
  attributes.log_buf = address_of(log.data());
  attributes.log_size = static_cast<std::uint32_t>(log.size());
  descriptor = call_bpf(BPF_PROG_LOAD, attributes);
  if (descriptor >= 0) return FileDescriptor(static_cast<int>(descriptor));
  Error made = refused("load the program into the kernel", error);
  if (const std::string why = last_word(log); !why.empty()) made.hint = "the kernel says: " + why;
  return fail(std::move(made));
}

struct Sizes {
  Sizes() { set_zero(info); }

  bpf_prog_info info;
  std::vector<bpf_line_info> lines;
  std::vector<std::uint64_t> line_addresses;
  std::vector<std::uint64_t> functions;
};

Status ask(int descriptor, bpf_prog_info& info) {
  bpf_attr attributes = empty_attributes();
  attributes.info.bpf_fd = static_cast<std::uint32_t>(descriptor);
  attributes.info.info = address_of(&info);
  attributes.info.info_len = sizeof info;
  if (call_bpf(BPF_OBJ_GET_INFO_BY_FD, attributes) < 0) return fail(refused("read the program's information", errno));
  return {};
}

// Asks for the sizes, makes room, asks for the contents.
Result<ProgramImage> read_image(int descriptor, Sizes& sizes) {
  bpf_prog_info first;
  set_zero(first);
  WEIR_CHECK(ask(descriptor, first));
  if (first.jited_prog_len == 0)
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = "the kernel has no machine code of this program",
                      .hint = "net.core.bpf_jit_enable may be 0"});
  ProgramImage out;
  out.code.resize(first.jited_prog_len);
  out.instructions.resize(first.xlated_prog_len / sizeof(ebpf::Instruction));
  out.function_sizes.resize(first.nr_jited_func_lens);
  sizes.lines.resize(first.nr_line_info);
  sizes.line_addresses.resize(first.nr_jited_line_info);
  sizes.functions.resize(first.nr_jited_ksyms);
  bpf_prog_info& info = sizes.info;
  info.jited_prog_insns = address_of(out.code.data());
  info.jited_prog_len = first.jited_prog_len;
  info.xlated_prog_insns = address_of(out.instructions.data());
  info.xlated_prog_len = first.xlated_prog_len;
  info.jited_func_lens = address_of(out.function_sizes.data());
  info.nr_jited_func_lens = first.nr_jited_func_lens;
  info.jited_ksyms = address_of(sizes.functions.data());
  info.nr_jited_ksyms = first.nr_jited_ksyms;
  info.line_info = address_of(sizes.lines.data());
  info.nr_line_info = first.nr_line_info;
  info.line_info_rec_size = sizeof(bpf_line_info);
  info.jited_line_info = address_of(sizes.line_addresses.data());
  info.nr_jited_line_info = first.nr_jited_line_info;
  info.jited_line_info_rec_size = sizeof(std::uint64_t);
  WEIR_CHECK(ask(descriptor, info));
  if (info.jited_prog_insns == 0)
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = "the kernel hides the machine code of its programs",
                      .hint = "it shows it to root with net.core.bpf_jit_harden=0 or kernel.kptr_restrict=0"});
  return out;
}

// Offset of an address in the code; the functions lie one after the other there, but anywhere in memory.
std::optional<std::uint64_t> offset_of(std::uint64_t address, const ProgramImage& image, const Sizes& sizes) {
  std::uint64_t before = 0;
  for (std::size_t n = 0; n < sizes.functions.size() && n < image.function_sizes.size(); ++n) {
    if (address >= sizes.functions[n] && address - sizes.functions[n] < image.function_sizes[n])
      return before + (address - sizes.functions[n]);
    before += image.function_sizes[n];
  }
  return std::nullopt;
}

}  // namespace

Result<ProgramImage> program_image(int descriptor) {
  Sizes sizes;
  WEIR_TRY(ProgramImage image, read_image(descriptor, sizes));
  image.id = sizes.info.id;
  image.type = sizes.info.type;
  image.name.assign(sizes.info.name, ::strnlen(sizes.info.name, sizeof sizes.info.name));
  if (!sizes.functions.empty()) image.address = sizes.functions.front();
  for (std::size_t n = 0; n < sizes.lines.size() && n < sizes.line_addresses.size(); ++n)
    if (const auto offset = offset_of(sizes.line_addresses[n], image, sizes))
      image.lines.push_back({*offset, sizes.lines[n].line_col >> 10});
  std::stable_sort(image.lines.begin(), image.lines.end(),
                   [](const CodeLine& a, const CodeLine& b) { return a.offset < b.offset; });
  return image;
}

Result<FileDescriptor> open_program(std::uint32_t id) {
  bpf_attr attributes = empty_attributes();
  attributes.prog_id = id;
  const long descriptor = call_bpf(BPF_PROG_GET_FD_BY_ID, attributes);
  if (descriptor >= 0) return FileDescriptor(static_cast<int>(descriptor));
  const int error = errno;
  if (error == ENOENT) return fail(fmt::format("the kernel has no program {}", id), {}, "");
  return fail(refused(fmt::format("open program {}", id), error));
}

Result<ProgramImage> compile(const ebpf::Program& program) {
  if (!program.map_references.empty()) return fail("a program with maps cannot be compiled alone");
  WEIR_TRY(const FileDescriptor types, load_types());
  WEIR_TRY(const FileDescriptor loaded, load(program, types.get()));
  return program_image(loaded.get());
}

}  // namespace weir::kernel
