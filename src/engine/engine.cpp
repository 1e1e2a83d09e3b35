#include <weir/engine/engine.h>
