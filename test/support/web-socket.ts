// @medplum/core names WebSocket while it loads; Jest's sandbox has none, and nothing here opens one.
globalThis.WebSocket ??= class {} as unknown as typeof WebSocket
