// The kernel for processors with AVX2; compiled with the compiler's option for it.
#define ONNXGS_ISA avx2
#include "sample.h"
