// weir run: extended programs over memory or the packets of a capture.
//
// The program sees what its kind sees in a kernel: XDP struct xdp_md, sockets and tc struct __sk_buff, anything else
// the address (r1) and the length (r2) of the memory or packet. It prints r0, one line a packet. A program that does
// what it must not do stops with an error and exit status 3.
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
#include <weir/runtime/dump.h>

#include "extended_input.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

enum class See : std::uint8_t { kMemory, kXdp, kSocket };

struct Options {
  std::string file;
  std::string program;
  std::string memory;
  std::string memory_hex;
  std::string capture;
  std::string engine = "auto";
  std::string context = "auto";
  std::uint64_t budget = 1'000'000'000;
  std::vector<std::string> tail_calls;
  bool maps = false;
  bool json = false;
};

See what_it_sees(const Options& options, const ebpf::Program& program) {
  if (options.context == "memory") return See::kMemory;
  if (options.context == "xdp") return See::kXdp;
  if (options.context == "socket") return See::kSocket;
  switch (program.type) {
    case ebpf::ProgramType::kXdp: return See::kXdp;
    case ebpf::ProgramType::kSocketFilter:
    case ebpf::ProgramType::kSchedCls:
    case ebpf::ProgramType::kSchedAct:
    case ebpf::ProgramType::kCgroupSkb:
    case ebpf::ProgramType::kSkSkb: return See::kSocket;
    default: return See::kMemory;
  }
}

Result<std::vector<std::uint8_t>> memory_of(const Options& options) {
  std::vector<std::uint8_t> bytes;
  if (!options.memory.empty()) {
    WEIR_TRY(const std::string text, read_whole_file(options.memory));
    bytes.assign(text.begin(), text.end());
  }
  int high = -1;
  for (std::size_t i = 0; i < options.memory_hex.size(); ++i) {
    const char c = options.memory_hex[i];
    if (c == ' ' || c == ':') continue;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0)
      return fail(Error{.code = ErrorCode::kUsage,
                        .message = fmt::format("'{}' is not a hexadecimal digit", c),
                        .source = "--mem-hex"});
    if (high >= 0) bytes.push_back(static_cast<std::uint8_t>(high * 16 + digit));
    high = high >= 0 ? -1 : digit;
  }
  if (high >= 0)
    return fail(
        Error{.code = ErrorCode::kUsage, .message = "an odd number of hexadecimal digits", .source = "--mem-hex"});
  return bytes;
}

nlohmann::json maps_as_json(const engine::ExtendedEngine& engine) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& map : engine.maps()) {
    nlohmann::json entries = nlohmann::json::array();
    runtime::each_entry(*map, [&](const std::vector<std::uint8_t>& key, const void* value) {
      entries.push_back(
          {{"key", runtime::hex_text(key.data(), key.size())}, {"value", runtime::hex_text(value, map->value_size())}});
    });
    if (auto* ring = dynamic_cast<runtime::RingBuffer*>(map.get()))
      ring->consume([&](ByteSpan record) {
        entries.push_back({{"record", runtime::hex_text(record.data(), record.size())}});
      });
    out.push_back(
        {{"name", map->definition().name}, {"type", ebpf::name_of(map->definition().type)}, {"entries", entries}});
  }
  return out;
}

std::string maps_as_text(const engine::ExtendedEngine& engine) {
  std::string out;
  for (const auto& map : engine.maps()) out += runtime::text_of(*map, true);
  return out;
}

class Runner {
 public:
  Runner(const Options& options, engine::ExtendedEnginePointer engine, See see)
      : options_(options), engine_(std::move(engine)), see_(see) {}

  int memory(std::vector<std::uint8_t>& bytes) {
    if (see_ != See::kMemory && bytes.empty())
      return report(Error{.code = ErrorCode::kUsage,
                          .message = "this kind of program needs a packet",
                          .hint = "give one with --mem, --mem-hex or --pcap"});
    const int status = one(bytes, static_cast<std::uint32_t>(bytes.size()), 0);
    return finish(status);
  }

  int capture() {
    const Result<std::unique_ptr<capture::Source>> source = capture::open(options_.capture);
    if (!source) return report(source.error());
    capture::RecordBatch batch;
    std::uint64_t number = 0;
    int status = kYes;
    for (;;) {
      batch.clear();
      const Result<std::size_t> count = (*source)->read(batch);
      if (!count) {
        finish(kYes);
        return report(count.error());
      }
      if (*count == 0) break;
      for (const packet::Packet& packet : batch.packets) {
        bytes_.assign(packet.data, packet.data + packet.length);
        status = std::max(status, one(bytes_, packet.wire_length, ++number));
      }
    }
    return finish(status);
  }

 private:
  // Runs once; packets have numbers from 1.
  int one(std::vector<std::uint8_t>& bytes, std::uint32_t wire_length, std::uint64_t number) {
    if (see_ != See::kMemory && !buffer_) {
      Result<runtime::PacketBuffer> made = runtime::PacketBuffer::create(262144);
      if (!made) return report(made.error());
      buffer_.emplace(std::move(*made));
    }
    runtime::Invocation run;
    run.print = [](std::string_view line) {
      say(fmt::format("weir: printk: {}{}", line, !line.empty() && line.back() == '\n' ? "" : "\n"));
    };
    run.random += number;
    if (see_ == See::kMemory) {
      const auto address = reinterpret_cast<std::uint64_t>(bytes.data());
      run.arguments = {bytes.empty() ? 0 : address, bytes.size(), 0, 0, 0};
      run.regions = {{address, bytes.size(), true}};
      run.loads = bytes;
    } else {
      buffer_->set(bytes, {.wire_length = wire_length});
      run.packet = &*buffer_;
      run.arguments[0] = see_ == See::kXdp ? reinterpret_cast<std::uint64_t>(buffer_->xdp_context())
                                           : reinterpret_cast<std::uint64_t>(buffer_->socket_context());
      run.regions = {{run.arguments[0], see_ == See::kXdp ? sizeof(xdp_md) : sizeof(__sk_buff), see_ == See::kSocket}};
    }
    const engine::Outcome outcome = engine_->run(run);
    if (!outcome) {
      Error error = engine::describe(outcome);
      error.source = number > 0 ? fmt::format("{}, packet {}", options_.file, number) : options_.file;
      report(error);
      if (options_.json)
        results_.push_back(
            {{"packet", number}, {"fault", engine::name_of(outcome.fault)}, {"instruction", outcome.instruction}});
      return kBadInput;
    }
    if (options_.json) {
      nlohmann::json row = {{"result", outcome.value}};
      if (number > 0) row["packet"] = number;
      if (outcome.steps > 0) row["instructions"] = outcome.steps;
      results_.push_back(std::move(row));
      return kYes;
    }
    return print(fmt::format("{}0x{:x}{}\n", number > 0 ? fmt::format("{}: ", number) : "", outcome.value,
                             meaning(outcome.value)));
  }

  std::string meaning(std::uint64_t value) const {
    if (see_ != See::kXdp) return "";
    constexpr std::string_view kActions[] = {"aborted", "drop", "pass", "tx", "redirect"};
    return value < 5 ? fmt::format(" ({})", kActions[value]) : "";
  }

  int finish(int status) {
    if (options_.json) {
      nlohmann::json out = {
          {"version", 1}, {"program", engine_->program().name}, {"engine", engine_->name()}, {"runs", results_}};
      if (options_.maps) out["maps"] = maps_as_json(*engine_);
      const int printed = print(out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
      return printed != kYes ? printed : status;
    }
    if (!options_.maps) return status;
    const int printed = print(maps_as_text(*engine_));
    return printed != kYes ? printed : status;
  }

  const Options& options_;
  engine::ExtendedEnginePointer engine_;
  See see_;
  std::optional<runtime::PacketBuffer> buffer_;
  std::vector<std::uint8_t> bytes_;
  nlohmann::json results_ = nlohmann::json::array();
};

// Maps of maps hold copies of what their definitions show; that needs a kernel or a program of one's own.
Result<engine::ExtendedEnginePointer> load(const Options& options, const ExtendedInput& input,
                                           const ebpf::Program& program,
                                           std::vector<std::shared_ptr<runtime::Map>> maps) {
  engine::ExtendedOptions with{.budget = options.budget, .maps = std::move(maps)};
  with.kind = options.engine == "interpreter" ? engine::ExtendedKind::kInterpreter
              : options.engine == "native"    ? engine::ExtendedKind::kNative
                                              : engine::ExtendedKind::kAutomatic;
  if (input.needs_core)
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = "the object's accesses are relocated against the types of a kernel (CO-RE)",
                      .hint = "load it with libbpf"});
  WEIR_TRY(const ebpf::Checked checked, ebpf::check(program));
  return engine::load_extended(checked, with);
}

// ARRAY:INDEX=PROGRAM
Status add_tail_call(const Options& options, const ExtendedInput& input, const engine::ExtendedEngine& main,
                     const std::string& text) {
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
  for (const auto& map : main.maps()) {
    if (map->definition().name != text.substr(0, colon)) continue;
    WEIR_TRY(engine::ExtendedEnginePointer loaded, load(options, input, *program, main.maps()));
    return engine::set_tail_call(*map, static_cast<std::uint32_t>(std::stoul(index)), std::move(loaded));
  }
  return bad(fmt::format("there is no map '{}'", text.substr(0, colon)));
}

int run(const Options& options) {
  std::string text;
  const Result<ExtendedInput> input = read_extended(options.file, text);
  if (!input) return report(input.error(), text);
  const Result<const ebpf::Program*> program = pick_program(*input, options.program);
  if (!program) return report(program.error());
  const Result<engine::ExtendedEnginePointer> engine = load(options, *input, **program, {});
  if (!engine) {
    Error error = engine.error();
    error.source = options.file;
    return report(error);
  }
  for (const std::string& tail_call : options.tail_calls)
    if (const Status status = add_tail_call(options, *input, **engine, tail_call); !status)
      return report(status.error());
  Runner runner(options, *engine, what_it_sees(options, **program));
  if (!options.capture.empty()) return runner.capture();
  Result<std::vector<std::uint8_t>> memory = memory_of(options);
  return memory ? runner.memory(*memory) : report(memory.error());
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
  verb->add_option("--engine", options->engine, "auto, interpreter or native")
      ->check(CLI::IsMember({"auto", "interpreter", "native"}))
      ->capture_default_str();
  verb->add_option("--context", options->context, "what the program sees: auto (by its kind), memory, xdp or socket")
      ->check(CLI::IsMember({"auto", "memory", "xdp", "socket"}))
      ->capture_default_str();
  verb->add_option("--budget", options->budget, "instructions that one run may take; 0: as many as it likes")
      ->capture_default_str();
  verb->add_option("--tail-call", options->tail_calls,
                   "put a program of the object into a program array: ARRAY:INDEX=PROGRAM");
  verb->add_flag("--maps", options->maps, "print the maps afterwards");
  verb->add_flag("--json", options->json, "print JSON");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
