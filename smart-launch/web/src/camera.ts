import { useEffect, useRef, useState, type RefObject } from 'react'
import { CHECK_SIDE_PX, localProblems, type LocalProblem } from './local-checks.ts'

export type CameraState = 'waiting' | 'on' | 'none'

/** A picture on this device: drawn anew, so it carries no metadata, and reduced to what the joints need. */
export interface Shot {
  readonly blob: Blob
  readonly url: string
  readonly takenAt: number
  readonly camera: string
  readonly problems: readonly LocalProblem[]
}

const LONGEST_PX = 3000
const LIVE_MS = 700

/** The back camera while `wanted`; it is switched off again when the page goes on. */
export function useCamera(wanted: boolean): { video: RefObject<HTMLVideoElement | null>; state: CameraState; live: readonly LocalProblem[]; name: string } {
  const video = useRef<HTMLVideoElement>(null)
  const [state, setState] = useState<CameraState>('waiting')
  const [live, setLive] = useState<readonly LocalProblem[]>([])
  const [name, setName] = useState('')
  useEffect(() => {
    if (!wanted) return
    let stream: MediaStream | undefined
    let gone = false
    const open = async () => {
      // Absent on addresses that are not secure.
      const devices = navigator.mediaDevices as MediaDevices | undefined
      if (!devices?.getUserMedia) return setState('none')
      try {
        stream = await devices.getUserMedia({ audio: false, video: { facingMode: { ideal: 'environment' }, width: { ideal: 3840 }, height: { ideal: 2160 } } })
        if (gone || !video.current) return stop(stream)
        video.current.srcObject = stream
        setName(stream.getVideoTracks()[0]?.label ?? '')
        await video.current.play()
        setState('on')
      } catch {
        setState('none')
      }
    }
    setState('waiting')
    void open()
    const look = setInterval(() => { if (video.current && video.current.videoWidth > 0) setLive(problemsOf(video.current, video.current.videoWidth, video.current.videoHeight)) }, LIVE_MS)
    return () => {
      gone = true
      clearInterval(look)
      stop(stream)
    }
  }, [wanted])
  return { video, state, live, name }
}

function stop(stream: MediaStream | undefined): void {
  for (const track of stream?.getTracks() ?? []) track.stop()
}

export async function shotOfVideo(video: HTMLVideoElement, camera: string): Promise<Shot> {
  return shotOf(video, video.videoWidth, video.videoHeight, Date.now(), camera)
}

/** A chosen file, upright as its metadata says; rejects when this browser cannot read it. */
export async function shotOfFile(file: File): Promise<Shot> {
  const picture = await createImageBitmap(file, { imageOrientation: 'from-image' })
  return shotOf(picture, picture.width, picture.height, Math.min(Date.now(), file.lastModified), 'photo file')
}

async function shotOf(picture: CanvasImageSource, width: number, height: number, takenAt: number, camera: string): Promise<Shot> {
  const scale = Math.min(1, LONGEST_PX / Math.max(width, height))
  const canvas = drawn(picture, Math.round(width * scale), Math.round(height * scale))
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.92))
  if (!blob) throw new Error('Expected a picture that can be saved')
  return { blob, url: URL.createObjectURL(blob), takenAt, camera, problems: problemsOf(picture, width, height) }
}

function problemsOf(picture: CanvasImageSource, width: number, height: number): readonly LocalProblem[] {
  const scale = Math.min(1, CHECK_SIDE_PX / Math.max(width, height))
  const small = drawn(picture, Math.max(3, Math.round(width * scale)), Math.max(3, Math.round(height * scale)))
  const pixels = small.getContext('2d')?.getImageData(0, 0, small.width, small.height).data ?? []
  return localProblems({ rgba: pixels, width: small.width, height: small.height, longSidePx: Math.max(width, height) })
}

function drawn(picture: CanvasImageSource, width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement('canvas')
  canvas.width = width
  canvas.height = height
  canvas.getContext('2d')?.drawImage(picture, 0, 0, width, height)
  return canvas
}
