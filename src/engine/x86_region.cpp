// Code without branches for the ends of programs. The part of X86Body that turns control into bits.
#include "engine/x86_body.h"

namespace weir::engine {

bool X86Body::emit_region(PlanBlockId) { return false; }

}  // namespace weir::engine
