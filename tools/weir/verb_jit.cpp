// weir jit and bpf_jit_disasm: the machine code that compilers of BPF programs made.
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <sys/klog.h>
#include <unistd.h>

#include <weir/base/file.h>
#include <weir/convert/convert.h>
#include <weir/debug/jit_log.h>
#include <weir/debug/machine_code.h>
#include <weir/debug/text.h>
#include <weir/engine/engine.h>
#include <weir/filter/compile.h>
#include <weir/kernel/program_image.h>

#include "expression.h"
#include "jit_view.h"
#include "program_input.h"
#include "terminal.h"
#include "verbs.h"

namespace weir::tool {
namespace {

constexpr std::size_t kLongestLog = 64u << 20;

struct Options {
  std::vector<std::string> words;
  std::string program;
  std::string log;
  std::string image;
  std::string processor;
  std::string engine = "kernel";
  std::vector<std::string> features;
  LanguageFlags language;
  TargetFlags target;
  std::optional<std::uint32_t> id;
  std::uint64_t address = 0;
  bool opcodes = false;
  bool json = false;
};

Error in_file(Error error, const std::string& path) {
  if (error.source.empty()) error.source = path == "-" ? "standard input" : path;
  return error;
}

// The kernel's own log.
Result<std::string> kernel_log() {
  constexpr int kSize = 10;    // SYSLOG_ACTION_SIZE_BUFFER
  constexpr int kReadAll = 3;  // SYSLOG_ACTION_READ_ALL
  const int size = ::klogctl(kSize, nullptr, 0);
  if (size < 0) return fail(system_failure("read the kernel's log", errno));
  std::string text(static_cast<std::size_t>(size), '\0');
  const int got = ::klogctl(kReadAll, text.data(), size);
  if (got < 0) return fail(system_failure("read the kernel's log", errno));
  text.resize(static_cast<std::size_t>(got));
  return text;
}

int show(const CodeView& view, const Options& options) {
  return print(options.json ? listing_json(view) : listing(view, options.opcodes));
}

int show_log(const Options& options, debug::Processor processor) {
  const Result<std::string> text = options.log == "kernel" ? kernel_log() : read_whole_file(options.log, kLongestLog);
  if (!text) return report(text.error());
  Warnings left_out;
  const Result<std::vector<debug::JitImage>> images = debug::read_jit_log(*text, &left_out);
  if (!images) return report(in_file(images.error(), options.log), *text);
  for (const Diagnostic& warning : left_out) report(in_file(warning, options.log), *text);
  for (const debug::JitImage& image : *images) {
    CodeView view{.source = fmt::format("pass {}, {} instructions{}", image.pass, image.instruction_count,
                                        image.from.empty() ? "" : ", from " + image.from),
                  .processor = processor,
                  .code = image.code,
                  .address = image.address};
    if (const int status = show(view, options); status != kYes) return status;
  }
  return kYes;
}

int show_image(const Options& options, debug::Processor processor) {
  const Result<std::string> bytes = read_whole_file(options.image, kLongestLog);
  if (!bytes) return report(bytes.error());
  if (bytes->empty()) return report({.message = "the image is empty", .source = options.image});
  return show({.source = options.image,
               .processor = processor,
               .code = {bytes->begin(), bytes->end()},
               .address = options.address},
              options);
}

CodeView view_of(const kernel::ProgramImage& image) {
  return {.source = image.name.empty() ? "kernel" : "kernel, " + image.name,
          .code = image.code,
          .address = image.address,
          .in_kernel = true};
}

int show_loaded(const Options& options) {
  const Result<FileDescriptor> program = kernel::open_program(*options.id);
  if (!program) return report(program.error());
  const Result<kernel::ProgramImage> image = kernel::program_image(program->get());
  if (!image) return report(image.error());
  return show(view_of(*image), options);
}

Result<cbpf::Checked> program_of(const Options& options, std::string& text) {
  if (!options.program.empty()) return read_checked(options.program, cbpf::Target::kUser, &text);
  WEIR_TRY(text, expression_text(options.words, ""));
  filter::CompileOptions compile;
  WEIR_CHECK(apply(options.target, compile));
  WEIR_CHECK(apply(options.language, compile));
  WEIR_TRY(filter::Compiled compiled, filter::compile(text, compile));
  report_all(compiled.warnings, text);
  return std::move(compiled.program);
}

// An instruction as the listing's left column has it.
std::string origin_text(const cbpf::Program& program, std::uint32_t index) {
  std::string text = debug::instruction_text(program, index);
  if (const std::size_t tab = text.find('\t'); tab != std::string::npos)
    text = fmt::format("{:<6}{}", text.substr(0, tab), text.substr(tab + 1));
  return text;
}

// The processor that the code is for: it need not be this one, since nothing runs.
Result<engine::CpuFeatures> features_of(const Options& options) {
  const engine::CpuFeatures& own = engine::cpu_features();
  if (options.features.empty()) return own;
  engine::CpuFeatures out{.x86_64 = own.x86_64, .aarch64 = own.aarch64};
  const std::pair<std::string_view, bool*> known[] = {
      {"avx2", &out.avx2}, {"avx512", &out.avx512}, {"gather", &out.fast_gather}};
  for (const std::string& name : options.features) {
    const auto* const found =
        std::find_if(std::begin(known), std::end(known), [&](const auto& one) { return one.first == name; });
    if (found == std::end(known))
      return fail(Error{.code = ErrorCode::kUsage,
                        .message = fmt::format("there is no feature '{}'", name),
                        .hint = "features: avx2, avx512, gather"});
    *found->second = true;
  }
  out.avx2 = out.avx2 || out.avx512;
  return out;
}

// What weir itself makes of a program.
int show_engine(const cbpf::Checked& program, const Options& options) {
  const Result<engine::CpuFeatures> features = features_of(options);
  if (!features) return report(features.error());
  const Result<engine::Kind> kind = engine::read_kind(options.engine, *features);
  const engine::CpuFeatures all{.x86_64 = true, .avx2 = true, .avx512 = true, .fast_gather = true, .aarch64 = true};
  if (!kind && !options.features.empty() && engine::read_kind(options.engine, all))
    return report({.code = ErrorCode::kUsage,
                   .message = fmt::format("the engine '{}' needs more than --features says", options.engine),
                   .hint = "avx2 needs avx2, and avx512 needs avx512"});
  if (!kind) return report(kind.error());
  const Result<std::unique_ptr<engine::Engine>> engine =
      engine::load(program, {.kind = *kind, .features = *features, .marks = true});
  if (!engine) return report(engine.error());
  const engine::CodeListing code = (*engine)->code();
  if (code.bytes.empty())
    return report({.code = ErrorCode::kUsage,
                   .message = fmt::format("the engine '{}' makes no machine code", (*engine)->name()),
                   .hint = "kernel, scalar, avx2 and avx512 do"});
  CodeView view{.source = fmt::format("weir, {}", (*engine)->name()), .code = {code.bytes.begin(), code.bytes.end()}};
  for (const engine::CodeMark& mark : code.marks)
    for (std::uint32_t index = mark.first; index < mark.end; ++index)
      view.origins.push_back({mark.offset, index, origin_text(program.program(), index)});
  return show(view, options);
}

int show_compiled(const Options& options) {
  std::string text;
  const Result<cbpf::Checked> program = program_of(options, text);
  if (!program) return report(program.error(), text);
  if (options.engine != "kernel") return show_engine(*program, options);
  const Result<ebpf::Program> extended = convert::convert(*program, {.context = convert::Context::kSocket});
  if (!extended) return report(extended.error());
  const Result<kernel::ProgramImage> image = kernel::compile(*extended);
  if (!image) {
    Error error = image.error();
    if (error.system_error == EPERM) error.hint += "; '--engine auto' shows weir's own code, for which nobody is asked";
    return report(error);
  }
  CodeView view = view_of(*image);
  view.source = "kernel";
  for (const kernel::CodeLine& line : image->lines)
    if (line.line > 0)
      view.origins.push_back({line.offset, line.line - 1, origin_text(program->program(), line.line - 1)});
  return show(view, options);
}

int run(const Options& options) {
  const int sources = (options.words.empty() ? 0 : 1) + (options.program.empty() ? 0 : 1) +
                      (options.log.empty() ? 0 : 1) + (options.image.empty() ? 0 : 1) + (options.id ? 1 : 0);
  if (sources != 1)
    return report({.code = ErrorCode::kUsage,
                   .message = sources == 0 ? "nothing to show" : "only one thing is shown at a time",
                   .hint = "an expression, --program, --log, --image or --id"});
  Result<debug::Processor> processor = debug::native_processor();
  if (!options.processor.empty()) processor = debug::read_processor(options.processor);
  if (!processor) return report(processor.error());
  if (const Status readable = debug::can_disassemble(*processor); !readable) return report(readable.error());
  if (options.engine != "kernel" && options.words.empty() && options.program.empty())
    return report({.code = ErrorCode::kUsage, .message = "--engine goes with an expression or --program"});
  if (!options.features.empty() && options.engine == "kernel")
    return report({.code = ErrorCode::kUsage, .message = "--features goes with --engine"});
  if (!options.log.empty()) return show_log(options, *processor);
  if (!options.image.empty()) return show_image(options, *processor);
  if (!options.processor.empty())
    return report({.code = ErrorCode::kUsage, .message = "--processor goes with --log and --image"});
  if (options.id) return show_loaded(options);
  return show_compiled(options);
}

constexpr const char* kDisassemblerUsage =
    "usage: bpf_jit_disasm [-o] [-f FILE] [-O FILE]\n"
    "  -o       print the bytes of each instruction\n"
    "  -f FILE  read the kernel's log from FILE ('-': standard input), not from the kernel\n"
    "  -O FILE  write the machine code to FILE; do not disassemble it\n"
    "  -h       print this\n";

// The last program of the log, as bpf_jit_disasm shows it.
int disassemble_last(const std::string& log, const std::string& output, bool opcodes) {
  if (const Status readable = debug::can_disassemble(debug::native_processor()); !readable)
    return report(readable.error());
  const Result<std::string> text = log.empty() ? kernel_log() : read_whole_file(log, kLongestLog);
  if (!text) return report(text.error());
  const Result<debug::JitImage> image = debug::read_last_jit_dump(*text);
  if (!image) return report(in_file(image.error(), log.empty() ? "kernel log" : log), *text);
  if (!output.empty()) {
    Result<ReplacingFile> file = ReplacingFile::create(output);
    if (!file) return report(file.error());
    if (const Status status = write_all(file->descriptor(), image->code, output); !status)
      return report(status.error());
    if (const Status status = file->commit(); !status) return report(status.error());
  }
  if (!output.empty()) return print(debug::heading(*image));
  return print(debug::heading(*image) +
               debug::machine_code_text(image->code, debug::disassemble(image->code), opcodes));
}

}  // namespace

int run_bpf_jit_disasm(int argc, char** argv) {
  bool opcodes = false;
  std::string log;
  std::string output;
  ::opterr = 0;
  for (int option = 0; (option = ::getopt(argc, argv, "ohf:O:")) != -1;) {
    switch (option) {
      case 'o': opcodes = true; break;
      case 'f': log = ::optarg; break;
      case 'O': output = ::optarg; break;
      case 'h': return print(kDisassemblerUsage);
      default: say(kDisassemblerUsage); return kUsage;
    }
  }
  if (::optind < argc) {
    say(kDisassemblerUsage);
    return kUsage;
  }
  return disassemble_last(log, output, opcodes);
}

void add_jit(CLI::App& app, int& status) {
  const auto options = std::make_shared<Options>();
  CLI::App* verb = app.add_subcommand("jit", "show the machine code of a program beside its instructions");
  verb->add_option("expression", options->words, "compile this expression to a program, and that to machine code");
  verb->add_option("-p,--program", options->program, "the same for the classic program in this file, in any form");
  add_target_flags(*verb, options->target);
  add_language_flags(*verb, options->language);
  verb->add_option(
      "--engine", options->engine,
      "who makes the machine code: kernel (default), scalar, avx2, avx512 or auto, as weir filter has them");
  verb->add_option("--features", options->features,
                   "what the processor has that --engine makes code for: avx2, avx512, gather (default: as this one)")
      ->delimiter(',')
      ->allow_extra_args(false);
  verb->add_option("--id", options->id, "a program that the kernel holds, by its number");
  verb->add_option("--log", options->log, "dumps in a log of the kernel: a file, '-', or 'kernel' for its own log");
  verb->add_option("--image", options->image, "machine code in this file");
  verb->add_option("--processor", options->processor,
                   "what the code of --log or --image is for (default: this machine)");
  verb->add_option("--address", options->address, "where the code of --image lies");
  verb->add_flag("-o,--opcodes", options->opcodes, "print the bytes of each instruction");
  verb->add_flag("--json", options->json, "print JSON");
  verb->callback([options, &status] { status = run(*options); });
}

}  // namespace weir::tool
