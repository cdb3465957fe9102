import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { ReviewPage } from './review-page.tsx'
import './style.css'

const root = document.getElementById('root')
if (root) createRoot(root).render(<StrictMode><ReviewPage /></StrictMode>)
