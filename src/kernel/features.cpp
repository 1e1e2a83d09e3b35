// Feature probes. Exports features, has.
//
// A probe is a program or map that only a kernel with the feature takes. Most are texts of the assembler in one table.
// Kinds of programs that attach to a function are told by the words with which the verifier refuses one that names
// none; helpers likewise: what it does not know, or does not allow here, it refuses before it looks at the arguments.
// Source: kernel/bpf/verifier.c, check_attach_btf_id, check_helper_call; kernel/bpf/syscall.c, map_create.
#include <weir/kernel/features.h>

#include <unistd.h>

#include <cerrno>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>

#include <fmt/format.h>

#include <weir/ebpf/opcode_info.h>
#include <weir/ebpf/text.h>
#include <weir/kernel/map.h>
#include <weir/kernel/program.h>
#include <weir/kernel/type_table.h>

#include "kernel/bpf_call.h"

namespace weir::kernel {
namespace {

constexpr FeatureInfo kFeatures[] = {
#define WEIR_KERNEL_FEATURE(name, text, since, meaning) {Feature::name, text, since, meaning},
#include <weir/kernel/features.def>
#undef WEIR_KERNEL_FEATURE
};

constexpr int kNotSupported = 524;  // ENOTSUPP, the kernel's own number

// Answers by question: what is asked (feature, program, map, helper), and of which numbers.
class Answers {
 public:
  using Question = std::tuple<char, std::uint32_t, std::uint32_t>;
  Result<bool> get(const Question& question, const std::function<Result<bool>()>& ask) {
    const std::lock_guard lock(mutex_);
    if (const auto known = known_.find(question); known != known_.end()) return known->second;
    Result<bool> answer = ask();
    if (answer) known_.emplace(question, *answer);
    return answer;
  }

 private:
  std::mutex mutex_;
  std::map<Question, bool> known_;
};

Answers& answers() {
  static Answers all;
  return all;
}

// True where it was made; false where the kernel does not take it; the error where we may not ask.
template <typename T>
Result<bool> taken(const Result<T>& made) {
  if (made) return true;
  const int error = made.error().system_error;
  if (error == EPERM || error == ENOSYS || error == ENOMEM) return fail(made.error());
  return false;
}

Result<bool> loads(std::string_view text) {
  WEIR_TRY(const ebpf::Program program, ebpf::assemble(text));
  std::vector<Map> maps;
  std::vector<const Map*> pointers;
  for (const ebpf::MapDefinition& definition : program.maps) {
    WEIR_TRY(Map map, Map::create(definition));
    maps.push_back(std::move(map));
  }
  for (const Map& map : maps) pointers.push_back(&map);
  return taken(Program::load(program, {.maps = pointers, .source_lines = false, .log_level = 0}));
}

// The texts of the features that one program shows.
std::string_view text_of(Feature feature) {
  switch (feature) {
    case Feature::kLessThan: return ".program socket_filter\nr0 = 0\nif r0 < 1 goto out\nr0 = 1\nout: exit";
    case Feature::kJumps32: return ".program socket_filter\nr0 = 0\nif w0 == 1 goto out\nr0 = 1\nout: exit";
    case Feature::kAtomics:
      return ".program socket_filter\n*(u64 *)(r10 - 8) = 1\nr0 = 1\nr0 = atomic_fetch_or((u64 *)(r10 - 8), r0)\nexit";
    case Feature::kSignExtension: return ".program socket_filter\nr1 = 200\nr0 = (s8)r1\nexit";
    case Feature::kSignedDivision: return ".program socket_filter\nr0 = 7\nr0 s/= 2\nexit";
    case Feature::kByteSwap: return ".program socket_filter\nr0 = 7\nr0 = bswap64 r0\nexit";
    case Feature::kLongJumps: return ".program socket_filter\nr0 = 0\ngotol out\nout: exit";
    case Feature::kFunctions: return ".program socket_filter\ncall one\nexit\none: r0 = 1\nexit";
    case Feature::kBoundedLoops: return ".program socket_filter\nr0 = 3\nagain: r0 -= 1\nif r0 != 0 goto again\nexit";
    default: return {};
  }
}

Result<bool> large_programs() {
  ebpf::Program program;
  program.type = ebpf::ProgramType::kSocketFilter;
  program.license = "GPL";
  program.instructions.assign(5000, ebpf::make(ebpf::Operation::kMov64K));
  program.instructions.push_back(ebpf::make(ebpf::Operation::kExit));
  return taken(Program::load(program, {.log_level = 0}));
}

// r0 = load_acquire((u64 *)(r10 - 8)): the assembler of older releases had no words for it.
Result<bool> load_acquire() {
  ebpf::Program program;
  program.type = ebpf::ProgramType::kSocketFilter;
  program.license = "GPL";
  constexpr std::uint8_t kStore64 = 0x7a;
  constexpr std::uint8_t kAtomic64 = 0xdb;
  constexpr std::int32_t kAcquire = 0x100;
  program.instructions = {ebpf::make(kStore64, 10, 0, -8, 1), ebpf::make(kAtomic64, 0, 10, -8, kAcquire),
                          ebpf::make(ebpf::Operation::kExit)};
  return taken(Program::load(program, {.log_level = 0}));
}

Result<Program> smallest_program(ebpf::ProgramType type) {
  ebpf::Program program = ebpf::assemble("r0 = 0\nexit").value();
  program.type = type;
  program.license = "GPL";
  return Program::load(program, {.log_level = 0});
}

Result<bool> variables() {
  ebpf::Program program = ebpf::assemble(
                              ".program socket_filter\n.map v, array, key 4, value 8, entries 1\n"
                              "r1 = map[v]\nr0 = 0\nexit")
                              .value();
  WEIR_TRY(const Map map, Map::create(program.maps[0]));
  const Map* const maps[] = {&map};
  constexpr std::uint8_t kMapValue = 2;  // BPF_PSEUDO_MAP_VALUE
  program.instructions[0].src = kMapValue;
  return taken(Program::load(program, {.maps = maps, .log_level = 0}));
}

ebpf::Program with_lines() {
  ebpf::Program program = ebpf::assemble(".program socket_filter one\nr0 = 0\nexit").value();
  program.license = "GPL";
  program.lines = {{.instruction = 0, .line = 1, .file = "a", .text = "b"}};
  return program;
}

Result<bool> source_lines() {
  WEIR_TRY(const Program loaded, Program::load(with_lines()));
  WEIR_TRY(const ProgramInfo info, loaded.info());
  return info.types_id != 0;
}

Result<Map> small_array() {
  return Map::create(
      {.name = "weir_probe", .type = ebpf::MapType::kArray, .key_size = 4, .value_size = 4, .max_entries = 1});
}

// Commands that answer ENOTSUPP, EBADF or a success differ from those that do not exist (EINVAL).
Result<bool> knows_command(int command, bpf_attr attributes, const char* name) {
  const Result<int> result = bpf_call(command, attributes, name);
  if (result) ::close(*result);
  if (!result && result.error().system_error == EPERM) return fail(result.error());
  return result || result.error().system_error != EINVAL;
}

Result<bool> map_batches() {
  WEIR_TRY(const Map map, small_array());
  std::uint8_t cursor[4];
  std::uint8_t key[4];
  std::uint8_t value[4];
  bpf_attr attributes = empty_attributes();
  attributes.batch.map_fd = static_cast<std::uint32_t>(map.descriptor());
  attributes.batch.out_batch = pointer_of(cursor);
  attributes.batch.keys = pointer_of(key);
  attributes.batch.values = pointer_of(value);
  attributes.batch.count = 1;
  const Result<int> done = bpf_call(BPF_MAP_LOOKUP_BATCH, attributes, "BPF_MAP_LOOKUP_BATCH");
  return done || is_not_exist(done.error());
}

Result<bool> ask(Feature feature) {
  switch (feature) {
    case Feature::kTestRuns: {
      WEIR_TRY(const Program program, smallest_program(ebpf::ProgramType::kSocketFilter));
      const std::vector<std::uint8_t> packet(64);
      return taken(program.test_run({.input = packet}));
    }
    case Feature::kMachineCode: {
      WEIR_TRY(const Program program, smallest_program(ebpf::ProgramType::kSocketFilter));
      WEIR_TRY(const ProgramInfo info, program.info());
      return info.machine_bytes != 0;
    }
    case Feature::kLargePrograms: return large_programs();
    case Feature::kLoadAcquire: return load_acquire();
    case Feature::kVariables: return variables();
    case Feature::kTypes: return taken(TypeTable::load(types_of(with_lines()).bytes));
    case Feature::kSourceLines: return source_lines();
    case Feature::kKernelTypes: return ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
    case Feature::kMapBatches: return map_batches();
    case Feature::kFrozenMaps: {
      WEIR_TRY(Map map, small_array());
      return taken(map.freeze());
    }
    case Feature::kLinks: {
      bpf_attr attributes = empty_attributes();
      attributes.link_create.prog_fd = UINT32_MAX;
      return knows_command(BPF_LINK_CREATE, attributes, "BPF_LINK_CREATE");
    }
    case Feature::kTcx: return taken(attached_programs(1, ebpf::AttachType::kTcxIngress));
    case Feature::kStatistics: return knows_command(BPF_ENABLE_STATS, empty_attributes(), "BPF_ENABLE_STATS");
    default: return loads(text_of(feature));
  }
}

// Where a kind of program must be told what it attaches to, one that is allowed.
std::optional<ebpf::AttachType> attach_type_for(ebpf::ProgramType type) {
  switch (type) {
    case ebpf::ProgramType::kCgroupSockAddr: return ebpf::AttachType::kCgroupInet4Connect;
    case ebpf::ProgramType::kCgroupSockopt: return ebpf::AttachType::kCgroupGetsockopt;
    case ebpf::ProgramType::kSkLookup: return ebpf::AttachType::kSkLookup;
    case ebpf::ProgramType::kLircMode2: return ebpf::AttachType::kLircMode2;
    case ebpf::ProgramType::kNetfilter: return ebpf::AttachType::kNetfilter;
    case ebpf::ProgramType::kTracing: return ebpf::AttachType::kTraceFentry;
    case ebpf::ProgramType::kLsm: return ebpf::AttachType::kLsmMac;
    default: return std::nullopt;
  }
}

// What the verifier says to a program that attaches to type 1, which is no function; empty: it can be loaded.
std::string_view refusal_of(ebpf::ProgramType type) {
  switch (type) {
    case ebpf::ProgramType::kTracing:
    case ebpf::ProgramType::kLsm: return "attach_btf_id 1 is not a function";
    case ebpf::ProgramType::kExt: return "Cannot replace kernel functions";
    default: return {};
  }
}

ebpf::Program program_for(ebpf::ProgramType type, std::string_view text) {
  ebpf::Program program = ebpf::assemble(text).value();
  program.type = type;
  program.license = "GPL";
  if (const auto where = attach_type_for(type)) {
    program.attach_type = *where;
    program.has_attach_type = true;
  }
  return program;
}

Result<bool> ask(ebpf::ProgramType type) {
  if (type == ebpf::ProgramType::kUnspec) return false;
  const ebpf::Program program = program_for(type, "r0 = 0\nexit");
  std::string log;
  const std::string_view refusal = refusal_of(type);
  const Result<Program> loaded = Program::load(
      program,
      {.sleepable = type == ebpf::ProgramType::kSyscall, .log = &log, .attach_type_id = refusal.empty() ? 0u : 1u});
  if (!refusal.empty() && !loaded && loaded.error().system_error == EINVAL)
    return log.find(refusal) != std::string::npos;
  if (type == ebpf::ProgramType::kStructOps && !loaded && loaded.error().system_error == kNotSupported) return true;
  return taken(loaded);
}

Result<bool> makes(ebpf::MapDefinition definition, const MapOptions& options) {
  definition.name = "weir_probe";
  return taken(Map::create(definition, options));
}

Result<bool> ask(ebpf::MapType type) {
  using T = ebpf::MapType;
  constexpr std::uint32_t kNoPreallocation = 1;
  constexpr std::uint32_t kMappable = 1u << 10;
  const auto page = static_cast<std::uint32_t>(sysconf(_SC_PAGESIZE));
  ebpf::MapDefinition map{.type = type, .key_size = 4, .value_size = 4, .max_entries = 1};
  switch (type) {
    case T::kUnspec: return false;
    case T::kStackTrace: map.value_size = 8; break;
    case T::kLpmTrie: return makes({.type = type, .key_size = 8, .value_size = 8, .max_entries = 1, .flags = 1}, {});
    case T::kCgroupStorage:
    case T::kPercpuCgroupStorage: return makes({.type = type, .key_size = 16, .value_size = 8}, {});
    case T::kQueue:
    case T::kStack:
    case T::kBloomFilter: map.key_size = 0; break;
    case T::kRingbuf:
    case T::kUserRingbuf: return makes({.type = type, .max_entries = page}, {});
    case T::kArena: return makes({.type = type, .max_entries = 1, .flags = kMappable}, {});
    case T::kArrayOfMaps:
    case T::kHashOfMaps: {
      WEIR_TRY(const Map inner, small_array());
      return makes(map, {.inner = &inner});
    }
    case T::kSkStorage:
    case T::kInodeStorage:
    case T::kTaskStorage:
    case T::kCgrpStorage: {
      WEIR_TRY(const TypeTable types, TypeTable::load(types_of(with_lines()).bytes));
      map.max_entries = 0;
      map.flags = kNoPreallocation;
      return makes(map, {.types = &types, .key_type = 1, .value_type = 1});
    }
    case T::kStructOps: {
      bpf_attr attributes = empty_attributes();
      attributes.map_type = BPF_MAP_TYPE_STRUCT_OPS;
      attributes.key_size = 4;
      attributes.value_size = 4;
      attributes.max_entries = 1;
      attributes.btf_vmlinux_value_type_id = 1;
      const Result<int> made = bpf_call(BPF_MAP_CREATE, attributes, "BPF_MAP_CREATE");
      if (made) ::close(*made);
      return made ? Result<bool>(true) : made.error().system_error == kNotSupported ? Result<bool>(true) : taken(made);
    }
    default: break;
  }
  return makes(map, {});
}

Result<bool> ask(ebpf::ProgramType type, ebpf::Helper helper) {
  if (type == ebpf::ProgramType::kStructOps || !refusal_of(type).empty())
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = fmt::format("what programs of type {} may call depends on what they attach to",
                                             ebpf::name_of(type))});
  if (helper == ebpf::Helper{}) return false;
  ebpf::Program program = program_for(type, "call 1\nexit");
  program.instructions[0].immediate = static_cast<std::int32_t>(helper);
  std::string log;
  const Result<Program> loaded =
      Program::load(program, {.sleepable = type == ebpf::ProgramType::kSyscall, .log = &log});
  if (loaded) return true;
  if (loaded.error().system_error == EPERM && log.empty()) return fail(loaded.error());
  for (const std::string_view words : {"invalid func ", "unknown func ", "program of this type cannot use helper "})
    if (log.find(words) != std::string::npos) return false;
  return true;
}

}  // namespace

std::span<const FeatureInfo> features() { return kFeatures; }

Result<bool> has(Feature feature) {
  return answers().get({'f', static_cast<std::uint32_t>(feature), 0}, [&] { return ask(feature); });
}
Result<bool> has(ebpf::ProgramType type) {
  return answers().get({'p', static_cast<std::uint32_t>(type), 0}, [&] { return ask(type); });
}
Result<bool> has(ebpf::MapType type) {
  return answers().get({'m', static_cast<std::uint32_t>(type), 0}, [&] { return ask(type); });
}
Result<bool> has(ebpf::ProgramType type, ebpf::Helper helper) {
  const Result<bool> known = has(type);
  if (!known || !*known) return known;
  return answers().get({'h', static_cast<std::uint32_t>(type), static_cast<std::uint32_t>(helper)},
                       [&] { return ask(type, helper); });
}

}  // namespace weir::kernel
