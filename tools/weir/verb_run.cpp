// weir run: extended programs over memory or the packets of a capture.
//
// The program sees what its kind sees in a kernel: XDP struct xdp_md, sockets and tc struct __sk_buff, anything else
// the address (r1) and the length (r2) of the memory or packet. It prints r0, one line a packet. A program that does
// what it must not do stops with an error and exit status 3. With --engine kernel the running kernel runs it.
#include <linux/bpf.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/base/file.h>
#include <weir/capture/source.h>
#include <weir/engine/ebpf.h>
#include <weir/verify/verify.h>

#include "json_text.h"
#include "map_output.h"
#include "presets.h"
#include "program_json.h"
#include "quantity.h"
#include "run_action.h"
#include "run_verb.h"
#include "terminal.h"
#include "verdict_output.h"
#include "verbs.h"

namespace weir::tool {

See what_it_sees(const RunOptions& options, const ebpf::Program& program) {
  if (options.context == "memory") return See::kMemory;
  if (options.context == "xdp") return See::kXdp;
  if (options.context == "socket") return See::kSocket;
  return debug::sight_of(program.type);
}

Result<TailCall> read_tail_call(const ExtendedInput& input, const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::size_t equals = text.find('=');
  const auto bad = [&](std::string message) {
    return fail(Error{.code = ErrorCode::kUsage, .message = std::move(message), .source = "--tail-call"});
  };
  if (colon == std::string::npos || equals == std::string::npos || equals < colon)
    return bad("write it as ARRAY:INDEX=PROGRAM");
  const std::string index = text.substr(colon + 1, equals - colon - 1);
  if (index.empty() || index.size() > 9 || index.find_first_not_of("0123456789") != std::string::npos)
    return bad(fmt::format("'{}' is not an index", index));
  WEIR_TRY(const ebpf::Program* const program, pick_program(input, text.substr(equals + 1)));
  return TailCall{text.substr(0, colon), static_cast<std::uint32_t>(std::stoul(index)), program};
}

int RunResults::add(std::uint64_t number, std::uint64_t value, std::uint64_t steps) {
  const std::string_view name = action_name(type_, value);
  if (options_.json) {
    nlohmann::json row = {{"result", value}};
    if (!name.empty()) row["action"] = name;
    if (number > 0) row["packet"] = number;
    if (steps > 0) row["instructions"] = steps;
    rows_.push_back(std::move(row));
    return kYes;
  }
  const std::string meaning = name.empty() ? "" : fmt::format(" ({})", action_word(name));
  return print(fmt::format("{}0x{:x}{}\n", number > 0 ? fmt::format("{}: ", number) : "", value, meaning));
}

void RunResults::add_fault(std::uint64_t number, std::string_view fault, const nlohmann::json& more) {
  if (!options_.json) return;
  nlohmann::json row = {{"fault", fault}};
  if (number > 0) row["packet"] = number;
  row.update(more);
  rows_.push_back(std::move(row));
}

int RunResults::finish(std::string_view program, std::string_view engine, int status, const nlohmann::json& maps,
                       const std::string& maps_text) {
  int printed = kYes;
  if (options_.json) {
    nlohmann::json out = {{"version", 1}, {"program", program}, {"engine", engine}, {"runs", rows_}};
    if (options_.verify) out["verified"] = true;
    if (options_.maps) out["maps"] = maps;
    printed = print(json_line(out));
  } else if (options_.maps) {
    printed = print(maps_text);
  }
  return printed != kYes ? printed : status;
}

Status each_packet(const std::string& capture, const std::function<bool(const packet::Packet&, std::uint64_t)>& use) {
  WEIR_TRY(const std::unique_ptr<capture::Source> source, capture::open(capture));
  capture::RecordBatch batch;
  for (std::uint64_t number = 0;;) {
    WEIR_TRY(const capture::Read read, source->read(batch));
    if (read == capture::Read::kEnd) return {};
    for (const packet::Packet& packet : batch.packets)
      if (!use(packet, ++number)) return {};
  }
}

namespace {

using Options = RunOptions;

Result<std::vector<std::uint8_t>> memory_of(const Options& options) {
  std::vector<std::uint8_t> bytes;
  if (!options.memory.empty()) {
    WEIR_TRY(const std::string text, read_whole_file(options.memory));
    bytes.assign(text.begin(), text.end());
  }
  WEIR_TRY(const std::vector<std::uint8_t> more, parse_hex(options.memory_hex, "--mem-hex"));
  bytes.insert(bytes.end(), more.begin(), more.end());
  return bytes;
}

nlohmann::json fault_as_json(const engine::Outcome& outcome, const std::string& message) {
  nlohmann::json out = {{"instruction", outcome.instruction}, {"message", message}};
  const bool access = outcome.fault == engine::Fault::kOutside || outcome.fault == engine::Fault::kReadOnly ||
                      outcome.fault == engine::Fault::kUnaligned;
  if (access) out["address"] = fmt::format("0x{:x}", outcome.address);
  if (outcome.fault == engine::Fault::kArgument) out["argument"] = outcome.address;
  if (outcome.fault == engine::Fault::kHelper) out["helper"] = static_cast<std::int64_t>(outcome.address);
  if (outcome.program == nullptr) return out;
  if (const ebpf::SourceLine* line = outcome.program->line_of(outcome.instruction)) out["source"] = line_as_json(*line);
  return out;
}

// The kind that a program is taken for.
ebpf::ProgramType type_seen(const ebpf::Program& program, See see) {
  if (see == See::kXdp) return ebpf::ProgramType::kXdp;
  return see == See::kSocket ? program.type : ebpf::ProgramType::kUnspec;
}

class Runner {
 public:
  Runner(const Options& options, engine::ExtendedEnginePointer engine, See see)
      : options_(options),
        engine_(std::move(engine)),
        see_(see),
        results_(options, type_seen(engine_->program(), see)) {}

  int memory(std::vector<std::uint8_t>& bytes) {
    if (see_ != See::kMemory && bytes.empty())
      return report(Error{.code = ErrorCode::kUsage,
                          .message = "this kind of program needs a packet",
                          .hint = "give one with --mem, --mem-hex or --pcap"});
    const int status = one(bytes, static_cast<std::uint32_t>(bytes.size()), 0);
    return finish(status);
  }

  int capture() {
    int status = kYes;
    const Status read = each_packet(options_.capture, [&](const packet::Packet& packet, std::uint64_t number) {
      bytes_.assign(packet.data, packet.data + packet.length);
      status = std::max(status, one(bytes_, packet.wire_length, number));
      return true;
    });
    if (read) return finish(status);
    if (any_) finish(kYes);
    return report(read.error());
  }

 private:
  // Runs once; packets have numbers from 1.
  int one(std::vector<std::uint8_t>& bytes, std::uint32_t wire_length, std::uint64_t number) {
    any_ = true;
    if (see_ != See::kMemory && (!buffer_ || bytes.size() > capacity_)) {
      const std::size_t capacity = std::min<std::size_t>(std::max<std::size_t>(bytes.size(), 262144), UINT32_MAX);
      Result<runtime::PacketBuffer> made = runtime::PacketBuffer::create(static_cast<std::uint32_t>(capacity));
      if (!made) return report(made.error());
      buffer_.emplace(std::move(*made));
      capacity_ = capacity;
    }
    runtime::Invocation run;
    run.print = [](std::string_view line) {
      say(fmt::format("weir: printk: {}{}", line, !line.empty() && line.back() == '\n' ? "" : "\n"));
    };
    run.perf_output = [](runtime::Map& map, std::uint64_t, ByteSpan record) {
      say(fmt::format("weir: {}: {:02x}\n", map.definition().name, fmt::join(record, " ")));
    };
    run.random += number;
    if (see_ == See::kMemory) {
      const auto address = reinterpret_cast<std::uint64_t>(bytes.data());
      run.arguments = {bytes.empty() ? 0 : address, bytes.size(), 0, 0, 0};
      run.regions = {{address, bytes.size(), true}};
      run.loads = bytes;
    } else {
      runtime::PacketFacts facts{.wire_length = wire_length};
      ByteSpan seen = bytes;
      if (see_ == See::kSocket && sees_no_link_layer(engine_->program().type)) {
        const NetworkPart part = network_part(bytes);
        seen = seen.subspan(part.begin);
        facts.wire_length -= std::min(facts.wire_length, static_cast<std::uint32_t>(part.begin));
        facts.has_ethernet = false;
        facts.protocol = part.protocol;
      }
      buffer_->set(seen, facts);
      run.packet = &*buffer_;
      run.arguments[0] = see_ == See::kXdp ? reinterpret_cast<std::uint64_t>(buffer_->xdp_context())
                                           : reinterpret_cast<std::uint64_t>(buffer_->socket_context());
      run.regions = {{run.arguments[0], see_ == See::kXdp ? sizeof(xdp_md) : sizeof(__sk_buff), see_ == See::kSocket}};
    }
    const engine::Outcome outcome = engine_->run(run);
    if (outcome) return results_.add(number, outcome.value, outcome.steps);
    Error error = engine::describe(outcome);
    error.source = number > 0 ? fmt::format("{}, packet {}", options_.file, number) : options_.file;
    report(error);
    results_.add_fault(number, engine::name_of(outcome.fault), fault_as_json(outcome, error.message));
    return kBadInput;
  }

  int finish(int status) {
    MapOutput maps;
    if (options_.maps)
      for (const auto& map : engine_->maps()) maps.add(*map, engine_->maps());
    return results_.finish(engine_->program().name, engine_->name(), status, maps.json(), maps.text());
  }

  const Options& options_;
  engine::ExtendedEnginePointer engine_;
  See see_;
  RunResults results_;
  std::optional<runtime::PacketBuffer> buffer_;  // for packets of up to so many bytes
  std::size_t capacity_ = 0;
  std::vector<std::uint8_t> bytes_;
  bool any_ = false;
};

// What the verifier may take for granted: the memory is there as given; packets differ. In the kernel a program sees
// what its type does.
ebpf::Premise premise_of(const Options& options, const ebpf::Program& program, See see, std::size_t memory) {
  ebpf::Premise premise;
  if (options.engine == "kernel") {
    premise.type = kernel_type(options, program).value_or(ebpf::ProgramType::kUnspec);
    return premise;
  }
  if (see == See::kXdp) premise.type = ebpf::ProgramType::kXdp;
  if (see == See::kSocket)
    premise.type = debug::sight_of(program.type) == See::kSocket ? program.type : ebpf::ProgramType::kSocketFilter;
  if (see == See::kMemory && options.capture.empty()) premise.memory_least = premise.memory_most = memory;
  return premise;
}

class Loader {
 public:
  Loader(const Options& options, const ExtendedInput& input, See see, std::size_t memory)
      : options_(options), input_(input), see_(see), memory_(memory) {}

  // Shows the refusal, and says so in refused().
  Result<engine::ExtendedEnginePointer> load(const ebpf::Program& program,
                                             std::vector<std::shared_ptr<runtime::Map>> maps) {
    engine::ExtendedOptions with{
        .budget = options_.budget, .maps = std::move(maps), .register_calls = options_.allow_callx};
    with.kind = options_.engine == "interpreter" ? engine::ExtendedKind::kInterpreter
                : options_.engine == "native"    ? engine::ExtendedKind::kNative
                                                 : engine::ExtendedKind::kAutomatic;
    WEIR_CHECK(usable_here(input_, program, "run it in the kernel: --engine kernel"));
    if (options_.verify) {
      const verify::Report report = examine(program);
      if (!report.verified) return fail(verify::to_error(*report.refusal));
      return engine::load_extended(*report.verified, with);
    }
    WEIR_TRY(const ebpf::Checked checked, ebpf::check(program, {.register_calls = options_.allow_callx}));
    return engine::load_extended(checked, with);
  }

  verify::Report examine(const ebpf::Program& program) {
    verify::Options with;
    with.register_calls = options_.allow_callx;
    with.premise = premise_of(options_, program, see_, memory_);
    verify::Report report = verify::examine(program, with);
    if (report.refusal) {
      refused_ = true;
      const VerdictRow row{program, with.premise.type, "", report};
      if (options_.json) print(json_line({{"version", 1}, {"accepted", false}, {"programs", {verdict_as_json(row)}}}));
      else say(verdict_as_text(row));
    }
    return report;
  }

  bool refused() const { return refused_; }

 private:
  const Options& options_;
  const ExtendedInput& input_;
  See see_;
  std::size_t memory_;
  bool refused_ = false;
};

Status add_tail_call(Loader& loader, const ExtendedInput& input, const engine::ExtendedEngine& main,
                     const std::string& text) {
  WEIR_TRY(const TailCall call, read_tail_call(input, text));
  for (const auto& map : main.maps()) {
    if (map->definition().name != call.array) continue;
    WEIR_TRY(engine::ExtendedEnginePointer loaded, loader.load(*call.program, main.maps()));
    return engine::set_tail_call(*map, call.index, std::move(loaded));
  }
  return fail(Error{
      .code = ErrorCode::kUsage, .message = fmt::format("there is no map '{}'", call.array), .source = "--tail-call"});
}

// Programs that stand in an array of their own would keep each other alive.
class ArraysCleared {
 public:
  explicit ArraysCleared(const engine::ExtendedEngine& main) : main_(main) {}
  ~ArraysCleared() {
    for (const auto& map : main_.maps())
      if (auto* const references = dynamic_cast<runtime::ReferenceMap*>(map.get())) references->clear();
  }
  ArraysCleared(const ArraysCleared&) = delete;
  ArraysCleared& operator=(const ArraysCleared&) = delete;

 private:
  const engine::ExtendedEngine& main_;
};

int run(const Options& options) {
  std::string text;
  const Result<ExtendedInput> input = read_extended(options.file, text);
  if (!input) return report(input.error(), text);
  const Result<const ebpf::Program*> program = pick_program(*input, options.program);
  if (!program) return report(program.error());
  Result<std::vector<std::uint8_t>> memory = options.capture.empty() ? memory_of(options) : std::vector<std::uint8_t>();
  if (!memory) return report(memory.error());
  const See see = what_it_sees(options, **program);
  Loader loader(options, *input, see, memory->size());
  if (options.engine == "kernel") {
    if (const auto type = kernel_type(options, **program); !type) return report(type.error());
    if (options.verify && !loader.examine(**program).verified) return kBadInput;
    return run_in_kernel(options, *input, **program, text, *memory);
  }
  const Result<engine::ExtendedEnginePointer> engine = loader.load(**program, {});
  if (!engine) {
    if (loader.refused()) return kBadInput;
    Error error = engine.error();
    error.source = options.file;
    return report(error);
  }
  const ArraysCleared cleared(**engine);
  const auto load = [&](const ebpf::Program& each, const Maps& maps) { return loader.load(each, maps); };
  if (const Status status = set_presets(*input, (*engine)->maps(), load); !status)
    return loader.refused() ? static_cast<int>(kBadInput) : report(status.error());
  for (const std::string& tail_call : options.tail_calls)
    if (const Status status = add_tail_call(loader, *input, **engine, tail_call); !status)
      return loader.refused() ? static_cast<int>(kBadInput) : report(status.error());
  Runner runner(options, *engine, see);
  return options.capture.empty() ? runner.memory(*memory) : runner.capture();
}

}  // namespace

void add_run(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("run", "run an extended program over memory or a capture");
  verb->add_option("file", options->file, "an ELF object, assembler text or numbers ('-': standard input)")->required();
  verb->add_option("-p,--program", options->program, "the program of this name or section; else the first");
  verb->add_option("--mem", options->memory, "memory or one packet: the bytes of this file");
  verb->add_option("--mem-hex", options->memory_hex, "the same, as hexadecimal digits");
  verb->add_option("--pcap", options->capture, "run over each packet of this capture");
  for (const char* memory : {"--mem", "--mem-hex"}) verb->get_option("--pcap")->excludes(verb->get_option(memory));
  verb->add_option("--engine", options->engine, "auto, interpreter, native, or kernel: the running kernel's test run")
      ->check(CLI::IsMember({"auto", "interpreter", "native", "kernel"}))
      ->capture_default_str();
  verb->add_option("--context", options->context, "what the program sees: auto (by its kind), memory, xdp or socket")
      ->check(CLI::IsMember({"auto", "memory", "xdp", "socket"}))
      ->capture_default_str();
  verb->add_flag("--allow-callx", options->allow_callx, "callx calls the helper whose number its register holds");
  verb->add_option("--budget", options->budget, "instructions that one run may take; 0: as many as it likes")
      ->capture_default_str();
  verb->add_option("--tail-call", options->tail_calls,
                   "put a program of the object into a program array: ARRAY:INDEX=PROGRAM")
      ->allow_extra_args(false);
  verb->add_flag("--verify", options->verify, "verify the program first; what is proven is not checked again");
  verb->add_flag("--maps", options->maps, "print the maps afterwards");
  verb->add_flag("--json", options->json, "print JSON");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
