#include <weir/packet/packet.h>
