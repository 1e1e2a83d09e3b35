// weir prog run: the kernel's test run of a program over memory or the packets of a capture.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include <weir/base/file.h>

#include "map_entry.h"
#include "prog_verbs.h"
#include "quantity.h"
#include "run_action.h"
#include "run_verb.h"
#include "terminal.h"

namespace weir::tool {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Json = nlohmann::json;

struct Options {
  std::string program;
  FileLoadOptions file;
  std::string memory;
  std::string memory_hex;
  std::string context_hex;
  std::string capture;
  std::uint32_t repeat = 1;
  bool packets = false;
  bool json = false;
};

class Runner {
 public:
  Runner(const Options& options, const kernel::Program& program, ebpf::ProgramType type)
      : options_(options), program_(program), type_(type) {}

  // Packets have numbers from 1; 0: there is only this one.
  int one(ByteSpan input, ByteSpan context, std::uint64_t number) {
    const ByteSpan packet = input.empty() ? input : packet_for_test(type_, input, packet_);
    Result<kernel::TestResult> ran =
        program_.test_run({.input = packet, .context = context, .repeat = options_.repeat});
    if (!ran) return refused(explain(std::move(ran).error(), input, number), number);
    // The kernel shows zeros for a header that it took off.
    if (loses_header(type_) && packet.data() == input.data())
      std::copy_n(input.begin(), std::min({kEthernetHeader, input.size(), ran->output.size()}), ran->output.begin());
    const ByteSpan all = ran->output;
    const ByteSpan output = all.subspan(std::min(packet.size() - input.size(), all.size()));
    const std::string_view name = action_name(type_, ran->value);
    const bool changed = !std::equal(input.begin(), input.end(), output.begin(), output.end());
    if (options_.json) {
      Json row = {{"result", ran->value}};
      if (!name.empty()) row["action"] = name;
      if (number > 0) row["packet"] = number;
      if (options_.repeat > 1) row["nanoseconds"] = ran->nanoseconds;
      if (options_.packets) row["output"] = hex_bytes(output);
      else if (!input.empty()) row["changed"] = changed;
      runs_.push_back(std::move(row));
      return kYes;
    }
    std::string line = fmt::format("{}0x{:x}", number > 0 ? fmt::format("{}: ", number) : "", ran->value);
    if (!name.empty()) line += fmt::format(" ({})", action_word(name));
    if (options_.repeat > 1) line += fmt::format("  {} ns", ran->nanoseconds);
    if (changed && !input.empty()) line += fmt::format("  packet changed: {} bytes", output.size());
    line += "\n";
    if (options_.packets && !output.empty()) line += "  " + hex_bytes(output) + "\n";
    return printed_ = print(line);
  }

  // A packet that the kernel does not take is reported; the others are run all the same.
  int capture(ByteSpan context) {
    int status = kYes;
    const Status read = each_packet(options_.capture, [&](const packet::Packet& packet, std::uint64_t number) {
      status = std::max(status, one({packet.data, packet.length}, context, number));
      return printed_ == kYes && !hopeless_;
    });
    return read ? status : report(read.error());
  }

  int finish(int status) const {
    if (!options_.json) return status;
    const int printed = print_prog_json({{"type", ebpf::name_of(type_)}, {"repeat", options_.repeat}, {"runs", runs_}});
    return printed != kYes ? printed : status;
  }

 private:
  int refused(const Error& error, std::uint64_t number) {
    hopeless_ = error.system_error == kNotSupported || error.system_error == EOPNOTSUPP;
    Json row = {{"fault", "kernel"}, {"message", error.message}};
    if (number > 0) row["packet"] = number;
    runs_.push_back(std::move(row));
    return report(error);
  }

  Error explain(Error error, ByteSpan input, std::uint64_t number) const {
    if (number > 0) error.source = fmt::format("{}, packet {}", options_.capture, number);
    if (error.system_error == EINVAL && input.size() < kEthernetHeader && !input.empty() && !loses_header(type_))
      error.hint = "the kernel wants an Ethernet header, 14 bytes at least";
    else if (error.system_error == EINVAL && input.empty() && options_.context_hex.empty())
      error.hint = "programs on packets need one: --mem, --mem-hex or --pcap";
    else if ((error.system_error == EINVAL || error.system_error == ENOMEM) && options_.context_hex.empty())
      error.hint = fmt::format("the kernel's test run takes no packet of {} bytes", input.size());
    if (error.system_error == kNotSupported || error.system_error == EOPNOTSUPP)
      error.hint = fmt::format("the kernel cannot test programs of type {}", ebpf::name_of(type_));
    return error;
  }

  static constexpr int kNotSupported = 524;  // ENOTSUPP

  const Options& options_;
  const kernel::Program& program_;
  ebpf::ProgramType type_;
  Bytes packet_;
  Json runs_ = Json::array();
  int printed_ = kYes;
  bool hopeless_ = false;  // no other packet will fare better
};

int run(const Options& options) {
  Bytes memory;
  if (!options.memory.empty()) {
    const Result<std::string> text = read_whole_file(options.memory);
    if (!text) return report(text.error());
    memory.assign(text->begin(), text->end());
  }
  const Result<Bytes> more = parse_hex(options.memory_hex, "--mem-hex");
  if (!more) return report(more.error());
  memory.insert(memory.end(), more->begin(), more->end());
  const Result<Bytes> context = parse_hex(options.context_hex, "--context-hex");
  if (!context) return report(context.error());

  std::string text;
  const Result<LoadedPrograms> loaded = find_or_load(options.program, options.file, text);
  if (!loaded) return report(loaded.error(), text);
  const kernel::Program& program = loaded->programs.front().program;
  const Result<kernel::ProgramInfo> info = program.info();
  if (!info) return report(info.error());
  Runner runner(options, program, info->type);
  return runner.finish(options.capture.empty() ? runner.one(memory, *context, 0) : runner.capture(*context));
}

}  // namespace

void add_prog_run(CLI::App& prog, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = prog.add_subcommand("run", "run a program in the kernel over memory or a capture");
  verb->add_option("program", options->program, "a loaded program (id, name, tag:TAG, pin), or a file")->required();
  verb->add_option("-p,--program", options->file.only, "of a file: the program of this name or section");
  verb->add_option("-t,--type", options->file.type, "of a file: its type, where the file does not say");
  verb->add_option("--mem", options->memory, "one packet: the bytes of this file");
  verb->add_option("--mem-hex", options->memory_hex, "the same, as hexadecimal digits");
  verb->add_option("--context-hex", options->context_hex,
                   "what r1 points to, as hexadecimal digits: __sk_buff, xdp_md, a raw tracepoint's words");
  verb->add_option("--pcap", options->capture, "run over each packet of this capture");
  for (const char* memory : {"--mem", "--mem-hex"}) verb->get_option("--pcap")->excludes(verb->get_option(memory));
  verb->add_option("--repeat", options->repeat, "run so often, and tell how long one run takes")
      ->check(CLI::Range(1u, 1u << 30))
      ->capture_default_str();
  verb->add_flag("--packets", options->packets, "show the packet afterwards");
  verb->add_flag("--json", options->json, "print JSON");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
