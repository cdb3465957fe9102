import './web-socket.ts'

export { indexR4 } from '../../demo/r4-definitions.ts'
