// The plugin library: one source for every TensorRT generation, by the headers it is compiled with.
#include <NvInferVersion.h>

#if NV_TENSORRT_MAJOR >= 10 || defined(ONNXGS_TENSORRT_RTX)
#include "plugin_v3.h"
#else
#include "plugin_v2.h"
#endif
