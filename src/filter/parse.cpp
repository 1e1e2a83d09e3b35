#include <weir/filter/parse.h>
