#include <weir/filter/formula.h>
