// What Linux would know beside a packet, for tests that run random programs: every field is set, to a small value, so
// that an engine which mixes two of them up is found out.
#pragma once

#include <weir/packet/packet.h>

#include "random_program.h"

namespace weir::tests {

inline packet::Metadata some_metadata(ProgramMaker& maker) {
  return {.protocol = 0x0800,
          .type = maker.below(5),
          .interface_index = 3,
          .mark = 6 + maker.below(9),
          .queue = 1,
          .hardware_type = 1,
          .receive_hash = 77,
          .cpu = 2,
          .vlan_tci = 5,
          .vlan_present = 1,
          .vlan_protocol = 0x8100};
}

}  // namespace weir::tests
