import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { CapturePage } from './capture-page.tsx'
import './style.css'

const root = document.getElementById('root')
if (root) createRoot(root).render(<StrictMode><CapturePage /></StrictMode>)
