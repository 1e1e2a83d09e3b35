#include <weir/filter/lower.h>
