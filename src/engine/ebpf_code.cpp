// Decodes programs and gives them their maps. Exports prepare, Code, load_extended, describe,
// set_tail_call, Memory.
#include "engine/ebpf_code.h"

#include <algorithm>

#include <fmt/format.h>
#include <linux/bpf.h>

#include <weir/ebpf/text.h>

#include "engine/ebpf_memory.h"
#include "engine/ebpf_native.h"

namespace weir::engine {
namespace {

using ebpf::OperandShape;

// What a map of maps says that its maps are like; null: none of the program's.
const ebpf::MapDefinition* inner_of(const ebpf::Program& program, const ebpf::MapDefinition& outer) {
  for (const ebpf::MapDefinition& each : program.maps)
    if (!outer.inner.empty() && each.name == outer.inner) return &each;
  return nullptr;
}

Result<std::vector<std::shared_ptr<runtime::Map>>> make_maps(const ebpf::Program& program,
                                                             const ExtendedOptions& options) {
  std::vector<std::shared_ptr<runtime::Map>> maps = options.maps;
  if (!maps.empty()) {
    if (std::find(maps.begin(), maps.end(), nullptr) != maps.end())
      return fail(Error{.code = ErrorCode::kUsage, .message = "one of the maps given is none"});
    if (maps.size() == program.maps.size()) return maps;
    return fail(
        Error{.code = ErrorCode::kUsage,
              .message = fmt::format("the program has {} maps, {} were given", program.maps.size(), maps.size())});
  }
  maps.resize(program.maps.size());
  for (const bool outer : {false, true})  // which may stand before those that show what they hold
    for (std::size_t i = 0; i < maps.size(); ++i) {
      const ebpf::MapDefinition& definition = program.maps[i];
      if (definition.inner.empty() == outer) continue;
      if (runtime::needs_kernel(definition.type)) {
        maps[i] = runtime::make_kernel_map(definition);
        continue;
      }
      runtime::MapOptions with = options.map_options;
      const ebpf::MapDefinition* const inner = inner_of(program, definition);
      if (inner != nullptr && runtime::holds_maps(definition.type) && runtime::holds_maps(inner->type))
        return fail(fmt::format("map '{}' would hold maps of maps", definition.name), {},
                    "kernels have no maps of maps of maps");
      if (outer && inner != nullptr) with.inner = maps[static_cast<std::size_t>(inner - program.maps.data())];
      WEIR_TRY(maps[i], runtime::make_map(definition, with));
    }
  return maps;
}

// What a 64-bit constant is at run time.
Result<std::uint64_t> wide_constant(const Code& code, std::size_t at) {
  const ebpf::Instruction& low = code.program.instructions[at];
  const ebpf::Instruction& high = code.program.instructions[at + 1];
  const InstructionPlace place{static_cast<std::uint32_t>(at)};
  if (low.src == 0)
    return std::uint64_t{static_cast<std::uint32_t>(high.immediate)} << 32 | static_cast<std::uint32_t>(low.immediate);
  if (low.src == ebpf::kPseudoFunction)  // a function is known by the address of its first step
    return reinterpret_cast<std::uint64_t>(code.steps.data() + at + 1 + low.immediate);
  if (low.src == ebpf::kPseudoVariable)
    return fail(Error{
        .code = ErrorCode::kUnsupported, .message = "variables of the kernel exist in a kernel only", .place = place});
  const ebpf::MapReference* reference = code.program.map_reference(at);
  std::size_t index = static_cast<std::uint32_t>(low.immediate);
  if (reference != nullptr) index = reference->map;
  const bool by_descriptor = low.src == ebpf::kPseudoMapDescriptor || low.src == ebpf::kPseudoMapValue;
  if ((by_descriptor && reference == nullptr) || index >= code.maps.size())
    return fail(fmt::format("there is no map {} here", low.immediate), place,
                by_descriptor ? "descriptors of maps mean something to a kernel only: name the map" : "");
  runtime::Map& map = *code.maps[index];
  if (runtime::needs_kernel(map.definition().type))
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = fmt::format("map '{}' is of type {}, which only kernels have", map.definition().name,
                                             ebpf::name_of(map.definition().type)),
                      .place = place});
  if (low.src == ebpf::kPseudoMapDescriptor || low.src == ebpf::kPseudoMapIndex)
    return reinterpret_cast<std::uint64_t>(&map);
  const std::uint32_t first = 0;
  const auto offset = static_cast<std::uint32_t>(high.immediate);
  if (map.definition().type != ebpf::MapType::kArray || map.key_size() != 4)
    return fail(fmt::format("map '{}' is no array: its values have no fixed address", map.definition().name), place);
  if (offset >= map.value_size())
    return fail(fmt::format("offset {} lies outside of the {} bytes of map '{}'", offset, map.value_size(),
                            map.definition().name),
                place);
  return reinterpret_cast<std::uint64_t>(map.lookup(&first, 0)) + offset;
}

// How the interpreter runs each step. A jump into a group runs its steps one by one: each has a dispatch of its own.
void find_groups(std::vector<Step>& steps) {
  using ebpf::Operation;
  // What the steps of a group must have in common, so that a value passes from one to the next without its register.
  struct Pattern {
    Group group;
    std::initializer_list<Operation> operations;
    bool (*fits)(const Step* steps);
  };
  constexpr auto kAny = [](const Step*) { return true; };
  constexpr auto kSameRegister = [](const Step* s) { return s[0].dst == s[1].dst; };
  // The longest come first.
  static const Pattern kPatterns[] = {
      {Group::kMovAddXMovAddJGt64X,
       {Operation::kMov64X, Operation::kAdd64X, Operation::kMov64X, Operation::kAdd64K, Operation::kJGt64X},
       [](const Step* s) {
         const unsigned sum = s[0].dst, bound = s[2].dst;
         return s[1].dst == sum && s[1].src != sum && s[2].src == sum && bound != sum && s[3].dst == bound &&
                s[4].dst == bound;
       }},
      {Group::kMovAddMov32KJGt64X,
       {Operation::kMov64X, Operation::kAdd64K, Operation::kMov32K, Operation::kJGt64X},
       [](const Step* s) { return s[1].dst == s[0].dst && s[3].dst == s[0].dst && s[2].dst != s[0].dst; }},
      {Group::kLoad16Add32XAddJNe32K,
       {Operation::kLoad16, Operation::kAdd32X, Operation::kAdd64K, Operation::kJNe32K},
       [](const Step* s) {
         return s[1].src == s[0].dst && s[1].dst != s[0].dst && s[2].dst == s[3].dst && s[2].dst != s[0].dst &&
                s[2].dst != s[1].dst;
       }},
      {Group::kMovAddJGt64X,
       {Operation::kMov64X, Operation::kAdd64K, Operation::kJGt64X},
       [](const Step* s) { return s[1].dst == s[0].dst && s[2].dst == s[0].dst; }},
      {Group::kAnd32KMov32KJNe32K,
       {Operation::kAnd32K, Operation::kMov32K, Operation::kJNe32K},
       [](const Step* s) { return s[2].dst == s[0].dst && s[1].dst != s[0].dst; }},
      {Group::kJEqJNe32K, {Operation::kJEq32K, Operation::kJNe32K}, kAny},
      {Group::kMov32KJEq32K, {Operation::kMov32K, Operation::kJEq32K}, kAny},
      {Group::kMovAdd64K, {Operation::kMov64X, Operation::kAdd64K}, kSameRegister},
      {Group::kMovAdd64X, {Operation::kMov64X, Operation::kAdd64X}, kSameRegister},
      {Group::kAddJNe64K, {Operation::kAdd64K, Operation::kJNe64K}, kAny},
      {Group::kAddJNe32K, {Operation::kAdd64K, Operation::kJNe32K}, kAny},
      {Group::kAddJLt64K, {Operation::kAdd64K, Operation::kJLt64K}, kAny},
      {Group::kLoad16Add32X, {Operation::kLoad16, Operation::kAdd32X}, kAny},
      {Group::kMov32KJGt64X, {Operation::kMov32K, Operation::kJGt64X}, kAny},
      {Group::kMov32KJNe32K, {Operation::kMov32K, Operation::kJNe32K}, kAny},
      {Group::kMov32KJLt32K, {Operation::kMov32K, Operation::kJLt32K}, kAny},
  };
  const auto is = [&](std::size_t at, Operation operation) {
    return at < steps.size() && !steps[at].is_second() && steps[at].operation == operation;
  };
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].is_second()) continue;
    steps[i].dispatch = static_cast<std::uint8_t>(steps[i].operation);
    for (const Pattern& pattern : kPatterns) {
      std::size_t at = i;
      if (!std::all_of(pattern.operations.begin(), pattern.operations.end(),
                       [&](Operation operation) { return is(at++, operation); }))
        continue;
      if (!pattern.fits(&steps[i])) continue;
      steps[i].dispatch = static_cast<std::uint8_t>(ebpf::opcodes().size() + static_cast<std::size_t>(pattern.group));
      break;
    }
  }
}

}  // namespace

Result<std::shared_ptr<Code>> prepare(const ebpf::Checked& checked, const ExtendedOptions& options) {
  auto code = std::make_shared<Code>();
  code->program = checked.program();
  code->options = options;
  code->helpers = options.helpers != nullptr ? options.helpers : &runtime::Helpers::standard();
  WEIR_TRY(code->maps, make_maps(code->program, options));
  const std::vector<ebpf::Instruction>& slots = code->program.instructions;
  code->steps.resize(slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const ebpf::OpcodeInfo* row = ebpf::find(slots[i]);
    if (row->shape == ebpf::OperandShape::kCallHelper)
      if (const auto number = static_cast<std::uint32_t>(slots[i].immediate); number < code->helpers_called.size())
        code->helpers_called[number] = code->helpers->find(slots[i].immediate);
    if (ebpf::is_for_kernels(row->shape))
      return fail(Error{.code = ErrorCode::kUnsupported,
                        .message = fmt::format("{} means something in kernels alone", row->sign),
                        .place = InstructionPlace{static_cast<std::uint32_t>(i)},
                        .hint = "load the program there"});
    Step& step = code->steps[i];
    step = {row->operation,  slots[i].dst,
            slots[i].src,    0,
            slots[i].offset, static_cast<std::uint64_t>(std::int64_t{slots[i].immediate})};
    const auto next = static_cast<std::int32_t>(i) + 1;
    if (row->shape == OperandShape::kJump || ebpf::is_branch(row->shape)) step.offset += next;
    if (row->shape == OperandShape::kJumpLong || row->shape == OperandShape::kCallLocal)
      step.offset = slots[i].immediate + next;
    if (ebpf::is_wide(row->shape)) {
      WEIR_TRY(step.constant, wide_constant(*code, i));
      if (row->shape == OperandShape::kWideFunction) {
        step.offset = slots[i].immediate + next;
        code->callbacks.push_back(static_cast<std::uint32_t>(step.offset));
      }
      code->steps[++i].dispatch = Step::kSecond;
    }
  }
  find_groups(code->steps);
  std::sort(code->callbacks.begin(), code->callbacks.end());
  code->callbacks.erase(std::unique(code->callbacks.begin(), code->callbacks.end()), code->callbacks.end());
  return code;
}

std::int64_t Code::callback_at(std::uint64_t address) const {
  const std::uint64_t offset = address - reinterpret_cast<std::uint64_t>(steps.data());
  const std::uint64_t slot = offset / sizeof(Step);
  if (offset % sizeof(Step) != 0 || slot >= steps.size()) return -1;
  const bool is_one = std::binary_search(callbacks.begin(), callbacks.end(), static_cast<std::uint32_t>(slot));
  return is_one ? static_cast<std::int64_t>(slot) : -1;
}

runtime::Map* Code::map_at(std::uint64_t address) const {
  for (const auto& map : maps)
    if (reinterpret_cast<std::uint64_t>(map.get()) == address) return map.get();
  for (const auto& map : maps) {
    const ebpf::MapType type = map->definition().type;
    if (type != ebpf::MapType::kArrayOfMaps && type != ebpf::MapType::kHashOfMaps) continue;
    const auto& outer = static_cast<const runtime::ReferenceMap&>(*map);
    std::vector<std::uint8_t> key(map->key_size());
    std::vector<std::uint8_t> next(map->key_size());
    for (int more = map->next_key(nullptr, next.data()); more == 0; more = map->next_key(key.data(), next.data())) {
      key = next;
      const auto inner = outer.reference(key.data());
      if (reinterpret_cast<std::uint64_t>(inner.get()) == address)
        return const_cast<runtime::Map*>(static_cast<const runtime::Map*>(inner.get()));
    }
  }
  return nullptr;
}

Fault Memory::check_others(std::uint64_t address, std::uint64_t size, bool write) const {
  for (const runtime::Region& region : run_->regions) {
    const std::uint64_t offset = address - region.begin;
    if (offset <= region.size && size <= region.size - offset)
      return write && !region.writable ? Fault::kReadOnly : Fault::kNone;
  }
  constexpr std::uint32_t kReadOnlyMap = 1u << 7;  // BPF_F_RDONLY_PROG
  for (const auto& map : code_->maps) {
    if (map->contains(address, size))
      return write && (map->definition().flags & kReadOnlyMap) != 0 ? Fault::kReadOnly : Fault::kNone;
    const ebpf::MapType type = map->definition().type;
    if (type != ebpf::MapType::kArrayOfMaps && type != ebpf::MapType::kHashOfMaps) continue;
    const auto& outer = static_cast<const runtime::ReferenceMap&>(*map);
    std::vector<std::uint8_t> key(map->key_size());
    std::vector<std::uint8_t> next(map->key_size());
    for (int more = map->next_key(nullptr, next.data()); more == 0; more = map->next_key(key.data(), next.data())) {
      key = next;
      const auto held = outer.reference(key.data());
      if (held == nullptr) continue;
      const auto& inner = *static_cast<const runtime::Map*>(held.get());
      if (inner.contains(address, size))
        return write && (inner.definition().flags & kReadOnlyMap) != 0 ? Fault::kReadOnly : Fault::kNone;
    }
  }
  return Fault::kOutside;
}

std::string_view name_of(Fault fault) {
  switch (fault) {
    case Fault::kNone: return "none";
    case Fault::kOutside: return "access outside";
    case Fault::kReadOnly: return "write to read-only memory";
    case Fault::kUnaligned: return "unaligned atomic";
    case Fault::kBudget: return "budget spent";
    case Fault::kCallDepth: return "call too deep";
    case Fault::kHelper: return "unknown helper";
    case Fault::kArgument: return "bad argument";
  }
  return "";
}

namespace {

std::string_view words_of(runtime::ArgumentKind kind) {
  using runtime::ArgumentKind;
  switch (kind) {
    case ArgumentKind::kNone:
    case ArgumentKind::kAnything: return "";
    case ArgumentKind::kContext: return "the context, as the program got it in r1";
    case ArgumentKind::kMap: return "a map of a kind that it works on";
    case ArgumentKind::kMapKey: return "memory to read, as long as a key of the map";
    case ArgumentKind::kMapValue: return "memory to read, as long as a value of the map";
    case ArgumentKind::kMapValueOut: return "memory to write, as long as a value of the map";
    case ArgumentKind::kMemory: return "memory to read, as long as the next register says";
    case ArgumentKind::kMemoryOrNull: return "memory to read, as long as the next register says, or 0";
    case ArgumentKind::kMemoryOut: return "memory to write, as long as the next register says";
    case ArgumentKind::kSize: return "the size of the memory before, at least 1";
    case ArgumentKind::kSizeOrZero: return "the size of the memory before";
    case ArgumentKind::kRecord: return "a record that a ring buffer gave, and that was not given back";
    case ArgumentKind::kConstantSize: return "the size of a record";
    case ArgumentKind::kText: return "text to read, up to a zero byte";
    default: return "";  // what only kernels' helpers take
  }
}

// "bpf_map_lookup_elem does not take what r1 holds: it takes a map"
std::string argument_fault(const Outcome& outcome) {
  const bool known = outcome.program != nullptr && outcome.instruction < outcome.program->size();
  const ebpf::Instruction call = known ? outcome.program->instructions[outcome.instruction] : ebpf::Instruction{};
  const runtime::HelperEntry* entry =
      call.code == 0x85 && call.src == 0 ? runtime::Helpers::standard().find(call.immediate) : nullptr;
  const std::uint64_t number = outcome.address;
  if (entry == nullptr || number < 1 || number > 5)
    return fmt::format("the helper does not take what r{} holds", number);
  const std::string_view words = words_of(entry->prototype.arguments[number - 1]);
  return fmt::format("bpf_{} does not take what r{} holds{}{}",
                     ebpf::name_of(static_cast<ebpf::Helper>(call.immediate)), number,
                     words.empty() ? "" : ": it takes ", words);
}

}  // namespace

Error describe(const Outcome& outcome) {
  Error error;
  error.place = InstructionPlace{outcome.instruction};
  switch (outcome.fault) {
    case Fault::kNone: error.message = "no fault"; break;
    case Fault::kOutside:
      error.message = fmt::format("access to 0x{:x}, outside of the program's memory", outcome.address);
      break;
    case Fault::kReadOnly: error.message = fmt::format("write to 0x{:x}, which is read-only", outcome.address); break;
    case Fault::kUnaligned:
      error.message = fmt::format("atomic on the unaligned address 0x{:x}", outcome.address);
      break;
    case Fault::kBudget:
      error.code = ErrorCode::kLimit;
      error.message = "the program ran more instructions than it may";
      break;
    case Fault::kCallDepth:
      error.code = ErrorCode::kLimit;
      error.message = fmt::format("more than {} functions are active", ebpf::kMaximumCallDepth);
      break;
    case Fault::kHelper:
      error.message = fmt::format("helper {} ({}) does not exist here", static_cast<std::int64_t>(outcome.address),
                                  ebpf::name_of(static_cast<ebpf::Helper>(outcome.address)));
      if (outcome.address > 0 && outcome.address < 1u << 16)
        error.hint = "weir-ebpf(7) lists the helpers of user space; the others exist in a kernel only";
      break;
    case Fault::kArgument: error.message = argument_fault(outcome); break;
  }
  if (outcome.program != nullptr && outcome.instruction < outcome.program->size()) {
    const auto& slots = outcome.program->instructions;
    const ebpf::Instruction next =
        outcome.instruction + 1 < slots.size() ? slots[outcome.instruction + 1] : ebpf::Instruction{};
    error.hint = fmt::format("in '{}'", ebpf::write_instruction(slots[outcome.instruction], next));
    if (const ebpf::SourceLine* line = outcome.program->line_of(outcome.instruction))
      error.hint += fmt::format(", {}:{}{}{}", line->file, line->line, line->text.empty() ? "" : ": ", line->text);
  }
  return error;
}

namespace {

Sight sight_of(ebpf::ProgramType type) {
  switch (type) {
    case ebpf::ProgramType::kUnspec: return Sight::kMemory;
    case ebpf::ProgramType::kXdp: return Sight::kXdp;
    case ebpf::ProgramType::kSocketFilter:
    case ebpf::ProgramType::kSchedCls:
    case ebpf::ProgramType::kSchedAct:
    case ebpf::ProgramType::kCgroupSkb:
    case ebpf::ProgramType::kSkSkb: return Sight::kSocket;
    default: return Sight::kOther;
  }
}

// The proof relies on constants (.rodata): those of a map that was given must be the program's.
bool has_the_constants(runtime::Map& map, const ebpf::MapDefinition& wanted) {
  constexpr std::uint32_t kReadOnlyMap = 1u << 7;  // BPF_F_RDONLY_PROG
  if ((wanted.flags & kReadOnlyMap) == 0 || wanted.contents.empty()) return true;
  const std::uint32_t zero = 0;
  const auto* value = static_cast<const std::uint8_t*>(map.lookup(&zero, 0));
  if (value == nullptr || wanted.contents.size() > wanted.value_size) return false;
  const std::uint8_t* const end = value + wanted.contents.size();
  return std::equal(value, end, wanted.contents.begin()) &&
         std::all_of(end, value + wanted.value_size, [](std::uint8_t byte) { return byte == 0; });
}

bool are_as_defined(const Code& code) {
  for (std::size_t i = 0; i < code.maps.size(); ++i) {
    const ebpf::MapDefinition& wanted = code.program.maps[i];
    if (!runtime::are_alike(code.maps[i]->definition(), wanted) || !has_the_constants(*code.maps[i], wanted))
      return false;
    const auto* const outer = dynamic_cast<const runtime::ReferenceMap*>(code.maps[i].get());
    const ebpf::MapDefinition* const inner = inner_of(code.program, wanted);
    if (inner != nullptr &&
        (outer == nullptr || outer->inner() == nullptr || !runtime::are_alike(*outer->inner(), *inner)))
      return false;
  }
  return true;
}

}  // namespace

bool Code::points_to_packet(const runtime::PacketBuffer& packet) {
  const __sk_buff& context = *packet.socket_context();
  const auto begin = static_cast<std::uint32_t>(reinterpret_cast<std::uint64_t>(packet.data()));
  return context.data == begin && context.data_meta == begin && context.data_end == begin + packet.size();
}

bool Code::memory_is_as_proven(const runtime::Invocation& run) const {
  const std::uint64_t size = run.arguments[1];
  if (size < premise.memory_least || size > premise.memory_most) return false;
  if (size == 0) return true;
  if (run.arguments[0] % premise.memory_alignment != 0 || run.regions.empty()) return false;
  const runtime::Region& region = run.regions[0];
  const std::uint64_t offset = run.arguments[0] - region.begin;
  return offset <= region.size && size <= region.size - offset && (region.writable || !premise.memory_writable);
}

Status set_tail_call(runtime::Map& array, std::uint32_t index, ExtendedEnginePointer program) {
  auto* references = dynamic_cast<runtime::ReferenceMap*>(&array);
  if (references == nullptr || array.definition().type != ebpf::MapType::kProgArray)
    return fail(fmt::format("map '{}' is no program array", array.definition().name));
  if (program == nullptr) return fail("a program is missing");
  if (references->set_reference(&index, std::move(program)) != 0)
    return fail(fmt::format("index {} lies outside of the {} of map '{}'", index, array.definition().max_entries,
                            array.definition().name));
  return {};
}

std::string name_of_held(const runtime::Map& map, const std::shared_ptr<const void>& held,
                         std::span<const std::shared_ptr<runtime::Map>> maps) {
  if (map.definition().type == ebpf::MapType::kProgArray)
    return std::static_pointer_cast<const ExtendedEngine>(held)->program().name;
  const auto found = std::find_if(maps.begin(), maps.end(), [&](const auto& each) { return each == held; });
  return found != maps.end() ? (*found)->definition().name : "";
}

namespace {
Result<ExtendedEnginePointer> load(std::shared_ptr<const Code> code) {
  const ExtendedKind kind = code->options.kind;
  if (kind == ExtendedKind::kInterpreter) return make_extended_interpreter(std::move(code));
  Result<ExtendedEnginePointer> native = make_extended_native(code);
  if (native || kind == ExtendedKind::kNative) return native;
  return make_extended_interpreter(std::move(code));
}
}  // namespace

Result<ExtendedEnginePointer> load_extended(const ebpf::Checked& program, const ExtendedOptions& options) {
  WEIR_TRY(std::shared_ptr<const Code> code, prepare(program, options));
  return load(std::move(code));
}

Result<ExtendedEnginePointer> load_extended(const ebpf::Verified& program, const ExtendedOptions& options) {
  WEIR_TRY(const std::shared_ptr<Code> code, prepare(program.checked(), options));
  code->proven = code->helpers == &runtime::Helpers::standard() && options.unwind_helper < 0 &&
                 !program.reads_unwritten_stack() && sight_of(program.premise().type) != Sight::kOther &&
                 are_as_defined(*code);
  code->premise = program.premise();
  code->sight = sight_of(program.premise().type);
  return load(std::move(code));
}

}  // namespace weir::engine
