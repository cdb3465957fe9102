import './no-telemetry.ts'

/** ONNX Runtime, which reads its environment when it is loaded: everybody takes it from here. */
export * from 'onnxruntime-node'
