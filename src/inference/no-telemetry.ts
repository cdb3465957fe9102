/**
 * Since 1.29 the builds of ONNX Runtime tell Microsoft about each session: names of the networks, times, the machine and an id
 * that they keep in the home folder (https://github.com/microsoft/onnxruntime/pull/27379). Nothing of ours may go out but to the
 * servers of the settings, and the threads that send it abort processes that are about to end.
 */
process.env['ORT_DISABLE_TELEMETRY'] = '1'
