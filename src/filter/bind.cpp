#include <weir/filter/bind.h>
