// Programs written as functions in C, compiled by cc, beside the reference: random programs and packets.
#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include <weir/cbpf/text.h>

#include "random_program.h"
#include "reference/reference_interpreter.h"
#include "rounds.h"

namespace weir {
namespace {

using Function = std::uint32_t (*)(const std::uint8_t*, std::uint32_t, std::uint32_t,
                                   std::uint32_t (*)(void*, std::uint32_t, std::uint32_t, std::uint32_t), void*);

// The extensions of the reference, by number.
std::uint32_t extension(void* context, std::uint32_t number, std::uint32_t, std::uint32_t) {
  const auto& m = *static_cast<const packet::Metadata*>(context);
  switch (number) {
    case 0: return m.protocol;
    case 4: return m.type;
    case 8: return m.interface_index;
    case 20: return m.mark;
    case 24: return m.queue;
    case 28: return m.hardware_type;
    case 32: return m.receive_hash;
    case 36: return m.cpu;
    case 44: return m.vlan_tci;
    case 48: return m.vlan_present;
    case 60: return m.vlan_protocol;
    default: return 0;
  }
}

TEST(CFunction, GivesTheVerdictsOfTheProgram) {
  if (std::system("cc --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "there is no cc";
  tests::ProgramMaker maker(12);
  std::vector<cbpf::Program> programs;
  std::string source;
  const auto wanted = static_cast<std::size_t>(tests::rounds(150));
  while (programs.size() < wanted) {
    const auto checked = cbpf::check(maker.next(), {.target = cbpf::Target::kUser});
    if (!checked) continue;
    source += cbpf::write_c_function(*checked, "filter" + std::to_string(programs.size())) + "\n";
    programs.push_back(checked->program());
  }
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("weir-c-function-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "filters.c") << source;
  const std::string library = folder / "filters.so";
  const std::string command = "cc -std=c99 -Wall -Wextra -Werror -O1 -shared -fPIC -o '" + library + "' '" +
                              (folder / "filters.c").string() + "'";
  ASSERT_EQ(std::system(command.c_str()), 0);
  void* handle = ::dlopen(library.c_str(), RTLD_NOW);
  ASSERT_NE(handle, nullptr) << ::dlerror();
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const auto function = reinterpret_cast<Function>(::dlsym(handle, ("filter" + std::to_string(i)).c_str()));
    ASSERT_NE(function, nullptr);
    for (int run = 0; run < 50; ++run) {
      std::vector<std::uint8_t> bytes(maker.below(64));
      for (std::uint8_t& byte : bytes)
        byte = static_cast<std::uint8_t>(maker.below(3) == 0 ? maker.below(256) : maker.below(3));
      packet::Metadata metadata{.protocol = 0x800, .mark = maker.below(9), .vlan_tci = 7, .vlan_present = 1};
      const auto length = static_cast<std::uint32_t>(bytes.size());
      const bool known = maker.below(2) == 0;
      const packet::Packet packet{bytes.data(), length, length + maker.below(5), known ? &metadata : nullptr};
      ASSERT_EQ(function(bytes.data(), length, packet.wire_length, known ? extension : nullptr, &metadata),
                reference::run(programs[i], packet).verdict)
          << cbpf::write(programs[i], cbpf::Format::kText);
    }
  }
  ::dlclose(handle);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace weir
