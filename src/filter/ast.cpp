#include <weir/filter/ast.h>
