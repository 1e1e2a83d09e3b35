// Opens the debugger's session over an extended program, and what it runs on: the packets of a capture, one packet or
// piece of memory from a file, or no memory at all. Exports open_session.
#include "extended_session.h"

#include <weir/base/file.h>

#include "debug_shell.h"
#include "extended_input.h"
#include "presets.h"
#include "terminal.h"

namespace weir::tool {
namespace {

Result<debug::ExtendedInputs> inputs_of(const SessionFiles& files, debug::Sight sight) {
  const auto usage = [](std::string message, std::string hint) {
    return fail(Error{.code = ErrorCode::kUsage, .message = std::move(message), .hint = std::move(hint)});
  };
  debug::ExtendedInputs inputs{{}, sight};
  if (!files.memory.empty()) {
    if (!files.capture.empty()) return usage("memory and a capture", "give one of them");
    WEIR_TRY(const std::string bytes, read_whole_file(files.memory, 64u << 20));
    inputs.packets.emplace_back(bytes.begin(), bytes.end());
    return inputs;
  }
  if (files.capture.empty()) {
    if (sight != debug::Sight::kMemory)
      return usage("this kind of program needs a packet", "give a capture, or a packet with --mem");
    inputs.packets.emplace_back();
    return inputs;
  }
  WEIR_TRY(const debug::Capture capture, shell_hooks().open_capture(files.capture));
  report_all(capture.warnings);
  for (std::uint32_t i = 0; i < capture.packets->size(); ++i) {
    const packet::Packet& packet = (*capture.packets)[i];
    inputs.packets.emplace_back(packet.data, packet.data + packet.length);
  }
  return inputs;
}

}  // namespace

Result<std::unique_ptr<debug::ExtendedSession>> open_session(const SessionFiles& files, std::string& text) {
  WEIR_TRY(ExtendedInput input_read, read_extended(files.program, text));
  const auto all = std::make_shared<const ExtendedInput>(std::move(input_read));
  const ExtendedInput& input = *all;
  WEIR_TRY(const ebpf::Program* const program, pick_program(input, files.name));
  WEIR_CHECK(usable_here(input, *program));
  WEIR_TRY(debug::ExtendedInputs inputs, inputs_of(files, debug::sight_of(program->type)));
  inputs.register_calls = files.allow_callx;
  inputs.prepare = [all](const engine::ExtendedOptions& options) {
    return set_presets(
        *all, options.maps, [&](const ebpf::Program& each, const Maps&) -> Result<engine::ExtendedEnginePointer> {
          WEIR_CHECK(usable_here(*all, each));
          WEIR_TRY(const ebpf::Checked checked, ebpf::check(each, {.register_calls = options.register_calls}));
          return engine::load_extended(checked, options);
        });
  };
  auto session = debug::ExtendedSession::create(*program, std::move(inputs));
  if (session || !session.error().source.empty()) return session;
  Error error = std::move(session).error();
  error.source = files.program;
  return fail(std::move(error));
}

}  // namespace weir::tool
