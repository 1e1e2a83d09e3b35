#include <weir/filter/compile.h>
