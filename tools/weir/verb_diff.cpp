// weir diff: whether two filters or programs say the same of every packet, or a shortest packet that tells them apart.
#include <memory>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <weir/cbpf/opcode_info.h>
#include <weir/engine/engine.h>
#include <weir/prove/compare.h>

#include "expression.h"
#include "json_text.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

struct Options {
  std::string left;
  std::string right;
  LanguageFlags language;
  TargetFlags target;
  bool exact = false;
  double timeout = 60;
  bool json = false;
};

// An expression, a program, or @FILE that holds one; the text is kept for messages.
struct Side {
  std::string text;
  std::optional<cbpf::Checked> program{};
};

// The exit status of an error, or -1.
int load(const std::string& argument, std::string_view name, const filter::CompileOptions& options, Side& side) {
  Result<std::string> text = expression_text(argument);
  if (!text) return report(text.error());
  side.text = std::move(*text);
  const Result<filter::Compiled> compiled = filter::compile(side.text, options);
  if (!compiled) {
    Error error = of_expression(compiled.error(), "", argument);
    // What has its place in the text is shown with it; an instruction is not.
    if (error.source.empty() && std::holds_alternative<InstructionPlace>(error.place)) error.source = name;
    return report(error, side.text);
  }
  report_all(compiled->warnings, side.text);
  side.program = compiled->program;
  return -1;
}

packet::Metadata metadata_of(const prove::Witness& witness) {
  packet::Metadata out;
  for (const prove::Beside& beside : witness.beside) switch (static_cast<cbpf::Extension>(beside.extension)) {
      case cbpf::Extension::kProtocol: out.protocol = beside.value; break;
      case cbpf::Extension::kType: out.type = beside.value; break;
      case cbpf::Extension::kInterfaceIndex: out.interface_index = beside.value; break;
      case cbpf::Extension::kMark: out.mark = beside.value; break;
      case cbpf::Extension::kQueue: out.queue = beside.value; break;
      case cbpf::Extension::kHardwareType: out.hardware_type = beside.value; break;
      case cbpf::Extension::kReceiveHash: out.receive_hash = beside.value; break;
      case cbpf::Extension::kCpu: out.cpu = beside.value; break;
      case cbpf::Extension::kVlanTci: out.vlan_tci = beside.value; break;
      case cbpf::Extension::kVlanPresent: out.vlan_present = beside.value; break;
      case cbpf::Extension::kVlanProtocol: out.vlan_protocol = beside.value; break;
      default: break;
    }
  return out;
}

// The verdict of the engine itself, so that what is printed was run.
Result<std::uint32_t> run(const cbpf::Checked& program, const prove::Witness& witness) {
  WEIR_TRY(const std::unique_ptr<engine::Engine> engine, engine::load(program));
  const packet::Metadata metadata = metadata_of(witness);
  const packet::Packet packet{witness.bytes.data(), static_cast<std::uint32_t>(witness.bytes.size()),
                              witness.wire_length, &metadata};
  return engine->run(packet);
}

// Bytes that do not matter become 0, so that those that do are seen.
Status tidy(const cbpf::Checked& left, const cbpf::Checked& right, bool exact, prove::Witness& witness) {
  WEIR_TRY(const std::unique_ptr<engine::Engine> first, engine::load(left));
  WEIR_TRY(const std::unique_ptr<engine::Engine> second, engine::load(right));
  const packet::Metadata metadata = metadata_of(witness);
  for (std::uint8_t& byte : witness.bytes) {
    const std::uint8_t kept = byte;
    byte = 0;
    const packet::Packet packet{witness.bytes.data(), static_cast<std::uint32_t>(witness.bytes.size()),
                                witness.wire_length, &metadata};
    const std::uint32_t a = first->run(packet);
    const std::uint32_t b = second->run(packet);
    if (exact ? a == b : (a == 0) == (b == 0)) byte = kept;
  }
  return {};
}

std::string hex_of(const prove::Witness& witness) {
  std::string out;
  for (const std::uint8_t byte : witness.bytes) out += fmt::format("{:02x}", byte);
  return out;
}

std::string describe(const prove::Witness& witness, std::uint32_t left, std::uint32_t right) {
  std::string out =
      fmt::format("they differ on a packet of {} bytes{}: the first says {}, the second {}\n", witness.bytes.size(),
                  witness.wire_length != witness.bytes.size() ? fmt::format(" ({} on the wire)", witness.wire_length)
                                                              : std::string(),
                  left, right);
  for (std::size_t row = 0; row < witness.bytes.size(); row += 16) {
    out += fmt::format("  {:04x} ", row);
    for (std::size_t i = row; i < std::min(row + 16, witness.bytes.size()); ++i)
      out += fmt::format(" {:02x}", witness.bytes[i]);
    out += "\n";
  }
  for (const prove::Beside& beside : witness.beside) {
    const cbpf::ExtensionInfo* info = cbpf::find_extension(cbpf::kExtensionBase + beside.extension);
    out += fmt::format("  {} = {}\n", info != nullptr ? info->text : "?", beside.value);
  }
  return out;
}

int show(const prove::Comparison& comparison, const Side& left, const Side& right, bool as_json) {
  using prove::Verdict;
  std::uint32_t verdicts[2] = {0, 0};
  if (comparison.witness) {
    const Result<std::uint32_t> first = run(*left.program, *comparison.witness);
    const Result<std::uint32_t> second = run(*right.program, *comparison.witness);
    if (!first || !second) return report((first ? second : first).error());
    verdicts[0] = *first;
    verdicts[1] = *second;
  }
  const bool different = comparison.witness.has_value();
  if (as_json) {
    nlohmann::json out = {{"version", 1},
                          {"result", different                                   ? "different"
                                     : comparison.verdict == Verdict::kUndecided ? "undecided"
                                                                                 : "same"},
                          {"proven", comparison.verdict == Verdict::kSame || comparison.verdict == Verdict::kDifferent},
                          {"covered_bytes", comparison.covered}};
    if (different) {
      out["packet"] = hex_of(*comparison.witness);
      out["wire_length"] = comparison.witness->wire_length;
      out["verdicts"] = {verdicts[0], verdicts[1]};
    }
    const int printed = print(json_line(out));
    return printed != kYes ? printed : different ? kNo : comparison.verdict == Verdict::kUndecided ? kBadInput : kYes;
  }
  std::string out;
  switch (comparison.verdict) {
    case Verdict::kSame: out = "the same for every packet\n"; break;
    case Verdict::kSameSoFar:
      out = fmt::format("the same for every packet of up to {} bytes\n", comparison.covered);
      break;
    case Verdict::kDifferent: out = describe(*comparison.witness, verdicts[0], verdicts[1]); break;
    case Verdict::kUndecided:
      out = different              ? describe(*comparison.witness, verdicts[0], verdicts[1])
            : comparison.too_large ? "not decided: the programs compute too much\n"
                                   : "not decided: --timeout gives it more time\n";
      if (different) out += "  (perhaps a shorter packet does, too)\n";
      break;
  }
  const int printed = print(out);
  return printed != kYes ? printed : different ? kNo : comparison.verdict == Verdict::kUndecided ? kBadInput : kYes;
}

int run(const Options& options) {
  filter::CompileOptions compile;
  compile.bind.allow_no_match = true;
  if (const Status status = apply(options.language, compile); !status) return report(status.error());
  if (const Status status = apply(options.target, compile); !status) return report(status.error());
  Side left;
  Side right;
  if (const int status = load(options.left, "the first program", compile, left); status >= 0) return status;
  if (const int status = load(options.right, "the second program", compile, right); status >= 0) return status;
  Result<prove::Comparison> comparison =
      prove::compare(*left.program, *right.program,
                     {.exact = options.exact,
                      .timeout = std::chrono::milliseconds(static_cast<std::int64_t>(options.timeout * 1000))});
  if (!comparison) return report(comparison.error());
  if (comparison->witness)
    if (const Status done = tidy(*left.program, *right.program, options.exact, *comparison->witness); !done)
      return report(done.error());
  return show(*comparison, left, right, options.json);
}

}  // namespace

void add_diff(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("diff", "a packet that tells two filters apart, or a proof that there is none");
  verb->add_option("first", options->left, "an expression, a program in any form, or @FILE that holds one")->required();
  verb->add_option("second", options->right, "the other")->required();
  verb->add_flag("--exact", options->exact, "compare verdicts as numbers, not only whether a packet is accepted");
  verb->add_option("--timeout", options->timeout, "seconds that it may take")
      ->check(CLI::Range(0.001, 1e6))
      ->capture_default_str();
  add_target_flags(*verb, options->target);
  add_language_flags(*verb, options->language);
  verb->add_flag("--json", options->json, "print the result as JSON");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
