// Refusals: how they are made, and how they read. Exports name_of, explain, to_error and Walk::refuse.
#include <algorithm>

#include <fmt/format.h>

#include <weir/ebpf/text.h>

#include "verify/walk.h"

namespace weir::verify {

namespace {

std::string line_text(const ebpf::SourceLine& line) {
  std::string_view text = line.text;
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  return fmt::format("{}:{}{}{}", line.file, line.line, text.empty() ? "" : ": ", text);
}

std::string offset_text(const Value& value) {
  const bool variable = !value.number.is_constant();
  const std::int64_t fixed = value.offset + (variable ? 0 : static_cast<std::int64_t>(value.number.number()));
  std::string out;
  if (fixed != 0) out += fmt::format(" {} {}", fixed < 0 ? "-" : "+", fixed < 0 ? -fixed : fixed);
  if (variable) out += fmt::format(" + ({})", value.number.text());
  return out;
}

}  // namespace

std::string_view name_of(Rule rule) {
  switch (rule) {
    case Rule::kStructure: return "structure";
    case Rule::kUnreachable: return "unreachable";
    case Rule::kFunctionBounds: return "function-bounds";
    case Rule::kUninitialised: return "uninitialised";
    case Rule::kNotAPointer: return "not-a-pointer";
    case Rule::kNull: return "null";
    case Rule::kStackBounds: return "stack-bounds";
    case Rule::kMapBounds: return "map-bounds";
    case Rule::kPacketBounds: return "packet-bounds";
    case Rule::kRecordBounds: return "record-bounds";
    case Rule::kContextAccess: return "context-access";
    case Rule::kReadOnly: return "read-only";
    case Rule::kAlignment: return "alignment";
    case Rule::kPointerArithmetic: return "pointer-arithmetic";
    case Rule::kHelper: return "helper";
    case Rule::kArgument: return "argument";
    case Rule::kHeld: return "held";
    case Rule::kCall: return "call";
    case Rule::kReturn: return "return";
    case Rule::kEndless: return "endless";
    case Rule::kTooComplex: return "too-complex";
  }
  return "";
}

std::string Walk::map_name(std::uint16_t map) const {
  const std::string& name = program_.maps[map].name;
  return name.empty() ? fmt::format("{}", map) : name;
}

std::string Walk::instruction_text(std::uint32_t at) const {
  return ebpf::write_instruction(code_[at], at + 1 < code_.size() ? code_[at + 1] : ebpf::Instruction{});
}

std::string Walk::value_text(const Value& value) const {
  const std::string offset = value.is_pointer() ? offset_text(value) : "";
  const char* null = value.may_be_null ? ", or null" : "";
  switch (value.kind) {
    case Kind::kNothing: return "never written";
    case Kind::kNumber:
      if (value.size != 0) return fmt::format("void: a pointer until instruction {}", value.size - 1);
      return value.number.text() + (value.identity == kLengthIdentity ? ", the memory's length"
                                    : value.room != 0                 ? ", below the memory's length"
                                                                      : "");
    case Kind::kContext: return "context" + offset;
    case Kind::kMap: return fmt::format("map '{}'{}", map_name(value.map), null);
    case Kind::kMapValue:
      return fmt::format("value of map '{}' ({} bytes){}{}", map_name(value.map), program_.maps[value.map].value_size,
                         offset, null);
    case Kind::kStack: {
      const bool other = value.frame + 1u != state_.frames.size();
      return fmt::format("{}{}", other ? fmt::format("r10 of function {} of the call", value.frame) : "r10", offset);
    }
    case Kind::kPacket:
    case Kind::kPacketMeta: {
      const char* what = on_memory_ ? "memory" : value.kind == Kind::kPacketMeta ? "packet metadata" : "packet";
      const std::int64_t after = static_cast<std::int64_t>(value.room) - value.offset;
      const std::string there = after <= 0 ? "nothing" : after == 1 ? "1 byte" : fmt::format("{} bytes", after);
      return fmt::format("{}{}, {} from there on known to be there", what, offset, there);
    }
    case Kind::kPacketEnd: return on_memory_ ? "end of the memory" : "end of the packet";
    case Kind::kMapKey:
      return fmt::format("key of map '{}' ({} bytes){}", map_name(value.map), program_.maps[value.map].key_size,
                         offset);
    case Kind::kFunction: return fmt::format("function at {}", value.size);
    case Kind::kSocketCommon: return fmt::format("socket, maybe no full one{}", null);
    case Kind::kSocket: return fmt::format("socket{}", null);
    case Kind::kTcpSocket: return fmt::format("TCP part of a socket{}", null);
    case Kind::kFlowKeys: return "flow keys" + offset;
    case Kind::kRecord: return fmt::format("record ({} bytes){}{}", value.size, offset, null);
  }
  return "";
}

bool Walk::refuse(Rule rule, std::string message, std::string required, std::vector<unsigned> registers,
                  std::string suggestion) {
  Refusal refusal;
  refusal.rule = rule;
  refusal.instruction = at_;
  refusal.text = instruction_text(at_);
  if (const ebpf::SourceLine* line = program_.line_of(at_)) refusal.line = *line;
  refusal.message = std::move(message);
  refusal.required = std::move(required);
  refusal.suggestion = std::move(suggestion);
  for (std::size_t i = 0; i < registers.size(); ++i)
    if (std::find(registers.begin(), registers.begin() + static_cast<std::ptrdiff_t>(i), registers[i]) ==
        registers.begin() + static_cast<std::ptrdiff_t>(i))
      refusal.known.push_back(fmt::format("r{} is {}", registers[i], value_text(reg(registers[i]))));
  for (const PathStep* step = path_; step != nullptr; step = step->before) {
    if (refusal.path.size() == options_.path_length) {
      refusal.decisions_before = step->length;
      break;
    }
    Decision decision{step->instruction, step->taken, step->sure, instruction_text(step->instruction), {}};
    if (const ebpf::SourceLine* line = program_.line_of(step->instruction)) decision.line = *line;
    refusal.path.push_back(std::move(decision));
  }
  std::reverse(refusal.path.begin(), refusal.path.end());
  refusal_ = std::move(refusal);
  return false;
}

std::string explain(const Refusal& refusal) {
  std::string out = fmt::format("instruction {}: {}\n", refusal.instruction, refusal.message);
  const auto row = [&out](std::string_view label, std::string_view text) {
    if (!text.empty()) out += fmt::format("  {:<9} {}\n", label, text);
  };
  row("code", refusal.text);
  if (refusal.line) row("source", line_text(*refusal.line));
  row("required", refusal.required);
  for (std::size_t i = 0; i < refusal.known.size(); ++i) row(i == 0 ? "known" : "", refusal.known[i]);
  if (refusal.decisions_before > 0)
    row("path",
        fmt::format("({} decision{} before)", refusal.decisions_before, refusal.decisions_before == 1 ? "" : "s"));
  for (std::size_t i = 0; i < refusal.path.size(); ++i) {
    const Decision& decision = refusal.path[i];
    const bool calls = decision.text.starts_with("call ");  // a helper, and the function that it calls back
    const bool loads = decision.text.find("skb[") != std::string::npos;
    const char* how = loads ? "the packet is too short, which ends the function"
                      : calls && decision.text.ends_with("tail_call") ? "the other program ends the function"
                      : calls                                         ? "the function is called back"
                      : decision.taken                                ? decision.sure ? "always taken here" : "taken"
                      : decision.sure                                 ? "never taken here"
                                                                      : "not taken";
    std::string text = fmt::format("{}: {}: {}", decision.instruction, decision.text, how);
    if (decision.line) text += fmt::format(" ({})", line_text(*decision.line));
    row(i == 0 && refusal.decisions_before == 0 ? "path" : "", text);
  }
  row("try", refusal.suggestion);
  return out;
}

Error to_error(const Refusal& refusal) {
  Error error;
  error.code = refusal.rule == Rule::kTooComplex ? ErrorCode::kLimit : ErrorCode::kBadInput;
  error.message = refusal.message;
  if (!refusal.text.empty()) error.message += fmt::format(" in '{}'", refusal.text);
  for (const std::string& known : refusal.known) error.message += "; " + known;
  error.place = InstructionPlace{refusal.instruction};
  error.hint = refusal.suggestion;
  return error;
}

}  // namespace weir::verify
