// Classic to extended with lookups in maps. Exports ExtendedFilter.
//
// A lives in r0, X in r7, the packet in r6, as the kernel's own conversion has it (net/core/filter.c,
// bpf_convert_filter); packet loads are the extended LD_ABS and LD_IND, which end the program with 0 outside of the
// packet. Before a comparison that starts a long run of comparisons of A (a chain or a tree, no matter), the run is
// worked out: for which values of A does it end where? If all but one of the ends are reached by single values, a hash
// map from value to end stands for the run. Only what can still be reached is emitted.
#include <weir/kernel/extended_filter.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <linux/bpf.h>
#include <map>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include <weir/cbpf/opcode_info.h>
#include <weir/kernel/socket_filter.h>

#include "kernel/bpf_call.h"

namespace weir::kernel {
namespace {

using cbpf::Instruction;
using cbpf::Opcode;

constexpr std::uint8_t kA = 0;
constexpr std::uint8_t kContext = 6;
constexpr std::uint8_t kX = 7;
constexpr std::uint8_t kSaved = 9;
constexpr std::uint8_t kFrame = 10;
constexpr std::int16_t kKeySlot = -72;  // below M[0..15]
constexpr std::size_t kShortestRun = 32;
constexpr std::uint64_t kMostWork = 400'000'000;  // steps to work out one run

long bpf(int command, bpf_attr& attributes) { return ::syscall(SYS_bpf, command, &attributes, sizeof attributes); }

Error refused(const char* what, int error) {
  Error made = system_failure(what, error);
  if (error == EPERM || error == EACCES) made.hint = "it needs the capability CAP_BPF";
  return made;
}

// What a run of comparisons does with A.
struct Run {
  std::uint32_t otherwise = 0;                                  // where it ends for most values
  std::vector<std::pair<std::uint32_t, std::uint32_t>> ends{};  // value, end
};

bool compares(const Instruction& i) {
  return i.opcode() == Opcode::kJeqK || i.opcode() == Opcode::kJgtK || i.opcode() == Opcode::kJgeK;
}

// For each instruction the last one from which the same happens: jumps are followed, and places with the same
// instruction before the same continuations are one. Compilers copy returns to keep jumps short.
std::vector<std::uint32_t> alike(const cbpf::Program& program) {
  const auto size = static_cast<std::uint32_t>(program.size());
  std::vector<std::uint32_t> same(size);
  std::map<std::tuple<std::uint16_t, std::uint32_t, std::uint32_t, std::uint32_t>, std::uint32_t> known;
  for (std::uint32_t at = size; at-- > 0;) {
    const Instruction& i = program[at];
    if (i.opcode() == Opcode::kJa) {
      same[at] = same[at + 1 + i.k];
      continue;
    }
    std::uint32_t next[2] = {0, 0};
    if (i.opcode() != Opcode::kRetK && i.opcode() != Opcode::kRetA) {
      const bool jumps = (i.code & 0x07) == BPF_JMP;
      next[0] = same[at + 1 + (jumps ? i.jt : 0)];
      next[1] = jumps ? same[at + 1 + i.jf] : 0;
    }
    same[at] = known.try_emplace({i.code, i.k, next[0], next[1]}, at).first->second;
  }
  return same;
}

class RunFinder {
 public:
  explicit RunFinder(const cbpf::Program& program)
      : program_(program), same_(alike(program)), hopeless_(program.size(), false), seen_(program.size(), 0) {}

  std::optional<Run> at(std::uint32_t start) {
    if (hopeless_[start]) return std::nullopt;
    const std::vector<std::uint32_t> members = members_of(start);
    std::optional<Run> run = members.size() < kShortestRun ? std::nullopt : worked_out(start, members);
    // What is no run is not looked at again from its middle: it would cost the square of its length.
    if (!run)
      for (const std::uint32_t member : members) hopeless_[member] = true;
    return run;
  }

 private:
  std::optional<Run> worked_out(std::uint32_t start, const std::vector<std::uint32_t>& members) const {
    std::vector<std::uint32_t> edges = {0};
    for (const std::uint32_t member : members) {
      const Instruction& i = program_[member];
      if (i.opcode() != Opcode::kJgtK) edges.push_back(i.k);
      if (i.opcode() != Opcode::kJgeK && i.k != 0xffffffff) edges.push_back(i.k + 1);
    }
    std::sort(edges.begin(), edges.end());
    edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
    return runs_of(start, edges);
  }

  std::vector<std::uint32_t> members_of(std::uint32_t start) {
    std::vector<std::uint32_t> open = {start};
    std::vector<std::uint32_t> members;
    ++search_;
    while (!open.empty()) {
      const std::uint32_t at = open.back();
      open.pop_back();
      if (!compares(program_[at]) && program_[at].opcode() != Opcode::kJa) continue;
      if (std::exchange(seen_[at], search_) == search_) continue;
      const Instruction& i = program_[at];
      if (i.opcode() == Opcode::kJa) {
        open.push_back(at + 1 + i.k);
        continue;
      }
      members.push_back(at);
      open.push_back(at + 1 + i.jt);
      open.push_back(at + 1 + i.jf);
    }
    return members;
  }

  std::uint32_t end_of(std::uint32_t at, std::uint32_t a, std::uint64_t& steps) const {
    for (;; ++steps) {
      const Instruction& i = program_[at];
      switch (i.opcode()) {
        case Opcode::kJa: at += 1 + i.k; break;
        case Opcode::kJeqK: at += 1u + (a == i.k ? i.jt : i.jf); break;
        case Opcode::kJgtK: at += 1u + (a > i.k ? i.jt : i.jf); break;
        case Opcode::kJgeK: at += 1u + (a >= i.k ? i.jt : i.jf); break;
        default: return same_[at];
      }
    }
  }

  std::optional<Run> runs_of(std::uint32_t start, const std::vector<std::uint32_t>& edges) const {
    std::vector<std::uint32_t> ends;
    std::unordered_map<std::uint32_t, std::uint64_t> width;
    std::uint64_t steps = 0;
    const auto width_of = [&](std::size_t i) {
      return (i + 1 < edges.size() ? std::uint64_t{edges[i + 1]} : std::uint64_t{1} << 32) - edges[i];
    };
    for (std::size_t i = 0; i < edges.size(); ++i) {
      ends.push_back(end_of(start, edges[i], steps));
      if (steps > kMostWork) return std::nullopt;
      width[ends.back()] += width_of(i);
    }
    Run run;
    run.otherwise = std::max_element(width.begin(), width.end(), [](const auto& a, const auto& b) {
                      return a.second < b.second;
                    })->first;
    for (std::size_t i = 0; i < edges.size(); ++i) {
      if (ends[i] == run.otherwise) continue;
      if (width_of(i) > 4) return std::nullopt;  // a range: the comparisons themselves are better
      for (std::uint64_t value = edges[i]; value < edges[i] + width_of(i); ++value)
        run.ends.emplace_back(static_cast<std::uint32_t>(value), ends[i]);
    }
    return run;
  }

  const cbpf::Program& program_;
  std::vector<std::uint32_t> same_;
  std::vector<bool> hopeless_;
  std::vector<std::uint32_t> seen_;  // the last search that met an instruction
  std::uint32_t search_ = 0;
};

class Converter {
 public:
  explicit Converter(const cbpf::Program& program) : program_(program), finder_(program) {}

  Status convert() {
    emit(BPF_ALU64 | BPF_MOV | BPF_X, kContext, 1);
    emit(BPF_ALU | BPF_MOV | BPF_K, kA, 0, 0, 0);
    emit(BPF_ALU | BPF_MOV | BPF_K, kX, 0, 0, 0);
    mark_reachable();
    for (std::uint32_t at = 0; at < program_.size(); ++at) {
      place_.push_back(code_.size());
      if (!reachable_[at]) continue;
      if (const auto run = runs_.find(at); run != runs_.end()) WEIR_CHECK(lookup(run->second));
      else WEIR_CHECK(one(at));
    }
    return patch();
  }

  std::vector<bpf_insn>& code() { return code_; }
  std::vector<FileDescriptor>& maps() { return maps_; }
  std::size_t entries() const { return entries_; }

 private:
  struct Jump {
    std::size_t at;
    std::uint32_t target;  // a classic instruction
  };

  void emit(unsigned code, std::uint8_t to, std::uint8_t from = 0, std::int16_t offset = 0,
            std::uint32_t constant = 0) {
    bpf_insn made{};
    made.code = static_cast<std::uint8_t>(code);
    made.dst_reg = to & 15;
    made.src_reg = from & 15;
    made.off = offset;
    std::memcpy(&made.imm, &constant, sizeof constant);
    code_.push_back(made);
  }
  void jump(unsigned code, std::uint8_t left, std::uint8_t right, std::uint32_t constant, std::uint32_t target) {
    jumps_.push_back({code_.size(), target});
    emit(code, left, right, 0, constant);
  }
  void jump_always(std::uint32_t target) { jump(BPF_JMP | BPF_JA, 0, 0, 0, target); }

  // Jumps lead forward: one pass. The runs that become lookups are found on the way.
  void mark_reachable() {
    reachable_.assign(program_.size(), false);
    reachable_[0] = true;
    for (std::uint32_t at = 0; at < program_.size(); ++at) {
      if (!reachable_[at]) continue;
      const Instruction& i = program_[at];
      if (compares(i)) {
        if (std::optional<Run> run = finder_.at(at)) {
          reachable_[run->otherwise] = true;
          for (const auto& [value, end] : run->ends) reachable_[end] = true;
          runs_.emplace(at, std::move(*run));
          continue;
        }
      }
      if (i.opcode() == Opcode::kRetK || i.opcode() == Opcode::kRetA) continue;
      if (i.opcode() == Opcode::kJa) {
        reachable_[at + 1 + i.k] = true;
      } else if ((i.code & 0x07) == BPF_JMP) {
        reachable_[at + 1 + i.jt] = true;
        reachable_[at + 1 + i.jf] = true;
      } else {
        reachable_[at + 1] = true;
      }
    }
  }

  Status lookup(const Run& run) {
    if (run.ends.empty()) {
      jump_always(run.otherwise);
      return {};
    }
    std::map<std::uint32_t, std::uint32_t> number_of_end;
    for (const auto& [value, end] : run.ends) number_of_end.try_emplace(end, number_of_end.size());
    WEIR_TRY(FileDescriptor map, make_map(run, number_of_end));
    emit(BPF_STX | BPF_MEM | BPF_W, kFrame, kA, kKeySlot);
    emit(BPF_ALU | BPF_MOV | BPF_X, kSaved, kA);
    emit(BPF_ALU64 | BPF_MOV | BPF_X, 2, kFrame);
    emit(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, static_cast<std::uint32_t>(std::int32_t{kKeySlot}));
    emit(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, static_cast<std::uint32_t>(map.get()));
    emit(0, 0);
    emit(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem);
    emit(BPF_ALU64 | BPF_MOV | BPF_X, 1, 0);
    emit(BPF_ALU | BPF_MOV | BPF_X, kA, kSaved);
    jump(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 0, run.otherwise);
    if (number_of_end.size() > 1) emit(BPF_LDX | BPF_MEM | BPF_W, 1, 1, 0);
    for (auto end = number_of_end.begin(); end != number_of_end.end(); ++end) {
      if (std::next(end) == number_of_end.end()) jump_always(end->first);
      else jump(BPF_JMP32 | BPF_JEQ | BPF_K, 1, 0, end->second, end->first);
    }
    entries_ += run.ends.size();
    maps_.push_back(std::move(map));
    return {};
  }

  static Result<FileDescriptor> make_map(const Run& run, const std::map<std::uint32_t, std::uint32_t>& number_of_end) {
    bpf_attr attributes = empty_attributes();
    attributes.map_type = BPF_MAP_TYPE_HASH;
    attributes.key_size = 4;
    attributes.value_size = 4;
    attributes.max_entries = static_cast<std::uint32_t>(run.ends.size());
    FileDescriptor map(static_cast<int>(bpf(BPF_MAP_CREATE, attributes)));
    if (!map) return fail(refused("cannot make a map in the kernel", errno));
    for (const auto& [value, end] : run.ends) {
      const std::uint32_t number = number_of_end.at(end);
      bpf_attr update = empty_attributes();
      update.map_fd = static_cast<std::uint32_t>(map.get());
      update.key = reinterpret_cast<std::uintptr_t>(&value);
      update.value = reinterpret_cast<std::uintptr_t>(&number);
      if (bpf(BPF_MAP_UPDATE_ELEM, update) != 0) return fail(refused("cannot fill a map in the kernel", errno));
    }
    return map;
  }

  Status one(std::uint32_t at) {
    const Instruction& i = program_[at];
    const cbpf::OpcodeInfo* info = cbpf::find(i.code);
    switch (info->shape) {
      case cbpf::OperandShape::kAbsolute: return absolute(at);
      case cbpf::OperandShape::kIndirect: emit(i.code, 0, kX, 0, i.k); return {};
      case cbpf::OperandShape::kHeaderLength:
        emit(BPF_ALU | BPF_MOV | BPF_X, kSaved, kA);
        emit(BPF_LD | BPF_ABS | BPF_B, 0, 0, 0, i.k);
        emit(BPF_ALU | BPF_AND | BPF_K, kA, 0, 0, 15);
        emit(BPF_ALU | BPF_LSH | BPF_K, kA, 0, 0, 2);
        emit(BPF_ALU | BPF_MOV | BPF_X, kX, kA);
        emit(BPF_ALU | BPF_MOV | BPF_X, kA, kSaved);
        return {};
      case cbpf::OperandShape::kJump: jump_always(at + 1 + i.k); return {};
      case cbpf::OperandShape::kBranchConstant:
      case cbpf::OperandShape::kBranchIndex: branch(at); return {};
      default: return simple(i);
    }
  }

  void branch(std::uint32_t at) {
    const Instruction& i = program_[at];
    const bool index = (i.code & BPF_X) != 0;
    const unsigned code = BPF_JMP32 | (i.code & 0xf0u) | (index ? BPF_X : BPF_K);
    jump(code, kA, index ? kX : std::uint8_t{0}, index ? 0 : i.k, at + 1 + i.jt);
    jump_always(at + 1 + i.jf);
  }

  Status simple(const Instruction& i) {
    const auto cell = static_cast<std::int16_t>(-4 - 4 * static_cast<int>(i.k & 15));
    switch (i.opcode()) {
      case Opcode::kLdImmediate: emit(BPF_ALU | BPF_MOV | BPF_K, kA, 0, 0, i.k); return {};
      case Opcode::kLdxImmediate: emit(BPF_ALU | BPF_MOV | BPF_K, kX, 0, 0, i.k); return {};
      case Opcode::kLdLength: emit(BPF_LDX | BPF_MEM | BPF_W, kA, kContext, 0); return {};
      case Opcode::kLdxLength: emit(BPF_LDX | BPF_MEM | BPF_W, kX, kContext, 0); return {};
      case Opcode::kLdScratch: emit(BPF_LDX | BPF_MEM | BPF_W, kA, kFrame, cell); return {};
      case Opcode::kLdxScratch: emit(BPF_LDX | BPF_MEM | BPF_W, kX, kFrame, cell); return {};
      case Opcode::kSt: emit(BPF_STX | BPF_MEM | BPF_W, kFrame, kA, cell); return {};
      case Opcode::kStx: emit(BPF_STX | BPF_MEM | BPF_W, kFrame, kX, cell); return {};
      case Opcode::kTax: emit(BPF_ALU | BPF_MOV | BPF_X, kX, kA); return {};
      case Opcode::kTxa: emit(BPF_ALU | BPF_MOV | BPF_X, kA, kX); return {};
      case Opcode::kNeg: emit(BPF_ALU | BPF_NEG, kA); return {};
      case Opcode::kRetK: emit(BPF_ALU | BPF_MOV | BPF_K, kA, 0, 0, i.k); break;
      case Opcode::kRetA: break;
      case Opcode::kDivX:
      case Opcode::kModX:
        emit(BPF_JMP32 | BPF_JNE | BPF_K, kX, 0, 2, 0);
        emit(BPF_ALU | BPF_MOV | BPF_K, kA, 0, 0, 0);
        emit(BPF_JMP | BPF_EXIT, 0);
        emit(i.code, kA, kX);
        return {};
      default: {  // arithmetic has the same codes
        const bool index = (i.code & BPF_X) != 0;
        emit(i.code, kA, index ? kX : std::uint8_t{0}, 0, index ? 0 : i.k);
        return {};
      }
    }
    emit(BPF_JMP | BPF_EXIT, 0);
    return {};
  }

  Status absolute(std::uint32_t at) {
    const Instruction& i = program_[at];
    if (i.k < cbpf::kExtensionBase) {
      emit(i.code, 0, 0, 0, i.k);
      return {};
    }
    const auto field = [&](std::size_t offset) {
      emit(BPF_LDX | BPF_MEM | BPF_W, kA, kContext, static_cast<std::int16_t>(offset));
    };
    switch (static_cast<cbpf::Extension>(i.k - cbpf::kExtensionBase)) {
      case cbpf::Extension::kProtocol:
        field(offsetof(__sk_buff, protocol));
        emit(BPF_ALU | BPF_END | BPF_TO_BE, kA, 0, 0, 16);
        return {};
      case cbpf::Extension::kVlanProtocol:
        field(offsetof(__sk_buff, vlan_proto));
        emit(BPF_ALU | BPF_END | BPF_TO_BE, kA, 0, 0, 16);
        return {};
      case cbpf::Extension::kType: field(offsetof(__sk_buff, pkt_type)); return {};
      case cbpf::Extension::kInterfaceIndex: field(offsetof(__sk_buff, ifindex)); return {};
      case cbpf::Extension::kMark: field(offsetof(__sk_buff, mark)); return {};
      case cbpf::Extension::kQueue: field(offsetof(__sk_buff, queue_mapping)); return {};
      case cbpf::Extension::kReceiveHash: field(offsetof(__sk_buff, hash)); return {};
      case cbpf::Extension::kVlanTci: field(offsetof(__sk_buff, vlan_tci)); return {};
      case cbpf::Extension::kVlanPresent: field(offsetof(__sk_buff, vlan_present)); return {};
      case cbpf::Extension::kXorX: emit(BPF_ALU | BPF_XOR | BPF_X, kA, kX); return {};
      default:
        return fail(
            Error{.code = ErrorCode::kUnsupported,
                  .message = fmt::format("'{}' has no equal in extended programs", cbpf::find_extension(i.k)->text),
                  .place = InstructionPlace{at}});
    }
  }

  Status patch() {
    for (const Jump& jump : jumps_) {
      const std::size_t distance = place_[jump.target] - jump.at - 1;
      if (distance > 32767)
        return fail(Error{.code = ErrorCode::kLimit,
                          .message = "a jump of the extended program is longer than 32767 instructions"});
      code_[jump.at].off = static_cast<std::int16_t>(distance);
    }
    return {};
  }

  const cbpf::Program& program_;
  RunFinder finder_;
  std::vector<bool> reachable_;
  std::map<std::uint32_t, Run> runs_;
  std::vector<std::size_t> place_;
  std::vector<Jump> jumps_;
  std::vector<bpf_insn> code_;
  std::vector<FileDescriptor> maps_;
  std::size_t entries_ = 0;
};

}  // namespace

Result<ExtendedFilter> ExtendedFilter::load(const cbpf::Checked& program) {
  Converter converter(program.program());
  WEIR_CHECK(converter.convert());
  const std::vector<bpf_insn>& code = converter.code();
  bpf_attr attributes = empty_attributes();
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insn_cnt = static_cast<std::uint32_t>(code.size());
  attributes.insns = reinterpret_cast<std::uintptr_t>(code.data());
  attributes.license = reinterpret_cast<std::uintptr_t>("Dual BSD/GPL");
  std::memcpy(attributes.prog_name, "weir_filter", sizeof "weir_filter");
  ExtendedFilter made;
  made.program_ = FileDescriptor(static_cast<int>(bpf(BPF_PROG_LOAD, attributes)));
  if (!made.program_) return fail(refused("the kernel refuses the extended program", errno));
  // A socket's memory for filters is limited (net.core.optmem_max): better known now than when packets come.
  const FileDescriptor probe(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (probe) WEIR_CHECK(attach_extended(probe.get(), made.program_.get()));
  made.maps_ = std::move(converter.maps());
  made.instructions_ = code.size();
  made.map_entries_ = converter.entries();
  return made;
}

}  // namespace weir::kernel
