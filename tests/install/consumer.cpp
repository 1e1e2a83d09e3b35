#include <cstdio>
#include <weir/engine/engine.h>
#include <weir/filter/compile.h>

int main() {
  const auto compiled = weir::filter::compile("ip");
  const auto engine = weir::engine::load(compiled->program);
  const std::uint8_t packet[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0x00};
  std::printf("%u\n", (*engine)->run(weir::packet::make_packet(packet)));
}
