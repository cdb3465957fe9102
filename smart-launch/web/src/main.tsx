import { lazy, StrictMode, Suspense } from 'react'
import { createRoot } from 'react-dom/client'
import './style.css'

/** One page each; the other's script is not loaded. */
const ReviewPage = lazy(() => import('./review-page.tsx').then(({ ReviewPage: page }) => ({ default: page })))
const CapturePage = lazy(() => import('./capture-page.tsx').then(({ CapturePage: page }) => ({ default: page })))

const Page = location.pathname.startsWith('/smart/capture/') ? CapturePage : ReviewPage
const root = document.getElementById('root')
if (root) createRoot(root).render(<StrictMode><Suspense fallback={null}><Page /></Suspense></StrictMode>)
