// Extended programs from files and to files. Exports read_extended, pick_program, fills_programs, needs_of,
// usable_here, core_error, write_converted and the forms.
#include "extended_input.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <optional>

#include <fmt/format.h>

#include <weir/base/file.h>
#include <weir/base/suggest.h>
#include <weir/cbpf/text.h>
#include <weir/convert/convert.h>
#include <weir/object/object.h>

#include "program_output.h"
#include "terminal.h"

namespace weir::tool {
namespace {

ByteSpan bytes_of(std::string_view text) { return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}; }

// The sizes that loaders give to maps of objects: a ring buffer has whole pages, a power of two of them, and an array
// of perf events a slot for each CPU. Source: libbpf, map_set_def_max_entries and adjust_ringbuf_sz.
void complete_sizes(ebpf::Program& program) {
  for (ebpf::MapDefinition& map : program.maps) {
    if (map.type == ebpf::MapType::kRingbuf && map.max_entries != 0 && map.max_entries <= 1u << 31) {
      const auto page = static_cast<std::uint32_t>(::sysconf(_SC_PAGESIZE));
      map.max_entries = std::max(page, std::bit_ceil(map.max_entries));
    }
    if (map.type == ebpf::MapType::kPerfEventArray && map.max_entries == 0)
      map.max_entries = static_cast<std::uint32_t>(std::max(::sysconf(_SC_NPROCESSORS_CONF), 1L));
  }
}

Result<std::string> in_form(const ebpf::Program& program, const std::string& to) {
  if (const auto format = extended_format_named(to)) return ebpf::write(program, *format);
  WEIR_TRY(const std::vector<std::uint8_t> bytes, object::write(program));
  return std::string(bytes.begin(), bytes.end());
}

}  // namespace

Result<ExtendedInput> read_extended(const std::string& path, std::string& text) {
  WEIR_TRY(text, read_whole_file(path, 64u << 20));
  const auto named = [&](Error error) {
    error.source = path == "-" ? "standard input" : path;
    return fail(std::move(error));
  };
  ExtendedInput input;
  if (object::is_elf(bytes_of(text))) {
    Result<object::Object> object = object::read(bytes_of(text));
    if (!object) return named(std::move(object).error());
    input.elf = true;
    input.native = object->order == std::endian::native;
    input.typed_maps = object->btf && object->btf->find(object::BtfKind::kDataSection, ".maps").has_value();
    input.programs = std::move(object->programs);
    for (ebpf::Program& each : input.programs) complete_sizes(each);
    input.sections = std::move(object->sections);
    input.needs = std::move(object->needs);
    input.facts = std::move(object->facts);
    input.presets = std::move(object->presets);
    input.types = std::move(object->kernel_types);
    return input;
  }
  Result<ebpf::Program> program = ebpf::read(text);
  if (!program) {
    Result<cbpf::Program> classic = cbpf::read(text);
    if (classic && cbpf::check(std::move(*classic), {.target = cbpf::Target::kUser}))
      return named({.message = "this is a classic program",
                    .hint = "weir verdict runs it over captures; weir compile --to ebpf-elf @FILE converts it"});
    return named(std::move(program).error());
  }
  input.programs.push_back(std::move(*program));
  return input;
}

Result<const ebpf::Program*> pick_program(const ExtendedInput& input, const std::string& name) {
  if (name.empty()) return &input.programs.front();
  std::vector<std::string_view> known;
  for (std::size_t i = 0; i < input.programs.size(); ++i) {
    if (input.programs[i].name == name || (i < input.sections.size() && input.sections[i] == name))
      return &input.programs[i];
    known.push_back(input.programs[i].name);
  }
  return fail(Error{.code = ErrorCode::kUsage,
                    .message = fmt::format("there is no program '{}'", name),
                    .hint = did_you_mean(name, known)});
}

bool fills_programs(const ExtendedInput& input) {
  return std::any_of(input.presets.begin(), input.presets.end(),
                     [](const object::Preset& preset) { return !preset.program.empty(); });
}

Error core_error(std::string hint) {
  return {.code = ErrorCode::kUnsupported,
          .message = "the program's accesses are relocated against the types of a kernel (CO-RE)",
          .hint = std::move(hint)};
}

object::Needs needs_of(const ExtendedInput& input, const ebpf::Program& program) {
  const auto index = static_cast<std::size_t>(&program - input.programs.data());
  return index < input.needs.size() ? input.needs[index] : object::Needs{};
}

Status usable_here(const ExtendedInput& input, const ebpf::Program& program, std::string hint) {
  if (input.elf && !input.native) {
    const bool big = std::endian::native == std::endian::big;
    return fail(Error{.code = ErrorCode::kUnsupported,
                      .message = fmt::format("the object is {}-endian, this machine {}-endian", big ? "little" : "big",
                                             big ? "big" : "little"),
                      .hint = fmt::format("compile it for this machine: -target {}", big ? "bpfeb" : "bpfel")});
  }
  const object::Needs needs = needs_of(input, program);
  if (!needs.external.empty())
    return fail(Error{
        .code = ErrorCode::kUnsupported,
        .message = fmt::format("'{}' is not defined in the object", needs.external),
        .hint = hint.empty() ? "variables and functions of a kernel need libbpf and that kernel" : std::move(hint)});
  if (needs.core) return fail(core_error(std::move(hint)));
  return {};
}

std::optional<ebpf::Format> extended_format_named(std::string_view name) {
  if (name == "asm") return ebpf::Format::kKernel;
  if (name == "ubpf") return ebpf::Format::kUbpf;
  if (name == "listing") return ebpf::Format::kListing;
  if (name == "c") return ebpf::Format::kC;
  if (name == "hex") return ebpf::Format::kHex;
  return std::nullopt;
}

Result<std::string> write_converted(const cbpf::Checked& program, const std::string& to, const std::string& where,
                                    const std::optional<convert::Returns>& returns) {
  convert::Options options;
  options.returns = returns;
  ebpf::ProgramType type = ebpf::ProgramType::kUnspec;
  if (where == "xdp") {
    options.context = convert::Context::kXdp;
    options.network_offset = 14;
    type = ebpf::ProgramType::kXdp;
  } else if (where == "tc" || where == "classifier") {
    options.context = convert::Context::kSocket;
    type = ebpf::ProgramType::kSchedCls;
  } else if (where == "socket") {
    options.context = convert::Context::kSocket;
    type = ebpf::ProgramType::kSocketFilter;
  } else if (where == "kernel") {
    options.context = convert::Context::kKernel;
  }
  WEIR_TRY(ebpf::Program converted, convert::convert(program, options));
  converted.type = type;
  if (to == "ebpf-asm") return ebpf::write(converted, ebpf::Format::kKernel);
  if (type == ebpf::ProgramType::kUnspec)
    return fail(Error{.code = ErrorCode::kUsage,
                      .message = fmt::format("a program for '{}' is not loaded into a kernel", where),
                      .hint = "write an object for xdp, tc or socket"});
  return in_form(converted, "elf");
}

int disassemble_extended(const std::string& path, const std::string& to, const std::string& output) {
  std::string text;
  const Result<ExtendedInput> input = read_extended(path, text);
  if (!input) return report(input.error(), text);
  std::string out;
  for (std::size_t i = 0; i < input->programs.size(); ++i) {
    if (input->programs.size() > 1)
      out += fmt::format("{}# {} ({})\n", i > 0 ? "\n" : "", input->programs[i].name, input->sections[i]);
    out += ebpf::write(input->programs[i], *extended_format_named(to));
  }
  return write_text(out, output);
}

int assemble_extended(const std::string& path, const std::string& to, const std::string& output) {
  std::string text;
  const Result<ExtendedInput> input = read_extended(path, text);
  if (!input) return report(input.error(), text);
  const Result<std::string> out = in_form(input->programs.front(), to);
  return out ? write_text(*out, output) : report(out.error());
}

}  // namespace weir::tool
