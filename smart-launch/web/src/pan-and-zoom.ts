import { useEffect, useRef, type MouseEvent, type PointerEvent } from 'react'

type At = { readonly clientX: number; readonly clientY: number }

/** Movement below this is a click. */
const STILL_PX = 5

/** With the mouse, dragging scrolls the frame; a touch does that by itself. A click that does not move still chooses a joint. */
export function useDragToPan() {
  const from = useRef<{ readonly x: number; readonly y: number; readonly left: number; readonly top: number } | undefined>(undefined)
  const moved = useRef(false)
  return {
    onPointerDown(event: PointerEvent<HTMLDivElement>) {
      if (event.pointerType !== 'mouse') return
      const { scrollLeft, scrollTop } = event.currentTarget
      moved.current = false
      from.current = { x: event.clientX, y: event.clientY, left: scrollLeft, top: scrollTop }
    },
    onPointerMove(event: PointerEvent<HTMLDivElement>) {
      if (!from.current || event.buttons === 0) return
      const [across, down] = [from.current.x - event.clientX, from.current.y - event.clientY]
      if (Math.hypot(across, down) > STILL_PX) moved.current = true
      event.currentTarget.scrollTo(from.current.left + across, from.current.top + down)
    },
    onPointerUp() {
      from.current = undefined
    },
    onClickCapture(event: MouseEvent<HTMLDivElement>) {
      if (moved.current) event.stopPropagation()
      moved.current = false
    }
  }
}

/** Two fingers, or the wheel with Ctrl (which is also what a touchpad's pinch sends), zoom at the place where they are. */
export function usePinchAndWheel(frame: { readonly current: HTMLElement | null }, zoom: number, onZoom: (zoom: number, at: At) => void): void {
  const now = useRef({ zoom, onZoom })
  now.current = { zoom, onZoom }
  useEffect(() => {
    const element = frame.current
    if (!element) return
    let began: { readonly apart: number; readonly zoom: number } | undefined
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey) return
      event.preventDefault()
      now.current.onZoom(now.current.zoom * Math.exp(-event.deltaY / 300), event)
    }
    const start = (event: TouchEvent) => {
      const [one, other] = event.touches
      began = one && other ? { apart: distance(one, other), zoom: now.current.zoom } : undefined
    }
    const move = (event: TouchEvent) => {
      const [one, other] = event.touches
      if (!began || !one || !other) return
      event.preventDefault()
      now.current.onZoom(began.zoom * distance(one, other) / began.apart, { clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2 })
    }
    element.addEventListener('wheel', wheel, { passive: false })
    element.addEventListener('touchstart', start, { passive: true })
    element.addEventListener('touchmove', move, { passive: false })
    return () => {
      element.removeEventListener('wheel', wheel)
      element.removeEventListener('touchstart', start)
      element.removeEventListener('touchmove', move)
    }
  }, [frame])
}

function distance(one: At, other: At): number {
  return Math.max(1, Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY))
}
