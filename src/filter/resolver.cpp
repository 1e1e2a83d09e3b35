#include <weir/filter/resolver.h>
