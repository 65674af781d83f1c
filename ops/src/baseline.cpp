// The kernel for every processor of the architecture.
#define ONNXGS_ISA baseline
#include "sample.h"
