// Uses what needs each of the libraries behind libweir: machine code is made, read back and run, and a file is opened.
#include <cstdio>
#include <weir/capture/source.h>
#include <weir/debug/machine_code.h>
#include <weir/engine/engine.h>
#include <weir/filter/compile.h>

int main() {
  const auto compiled = weir::filter::compile("ip");
  const auto engine = weir::engine::load(compiled->program);
  const std::uint8_t packet[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x00};
  std::printf("%u", (*engine)->run(weir::packet::make_packet(packet)));
  const std::uint8_t code[] = {0xc3};
  for (const auto& each : weir::debug::disassemble(code, {.processor = weir::debug::Processor::kX86_64}))
    std::printf(" %s", each.text.c_str());
  std::printf(" %s\n", weir::capture::open("/nowhere") ? "opened" : "absent");
}
