import { makeTenant, type TenantConfig } from '../../src/config.ts'
import type { ScreeningInput, SourcePhoto } from '../../src/fhir/resources/screening-resources.ts'
import type { JointFinding } from '../../src/joints/finding.ts'
import { handJointCount } from '../../src/joints/hand-joint-count.ts'
import { HAND_JOINTS, LATERALITIES } from '../../src/joints/hand-joint.ts'

/** A tenant whose EHR is on loopback. */
export function loopbackTenant(fhirBase: string, more: Partial<TenantConfig> = {}): TenantConfig {
  return makeTenant({ id: 'clinic', name: 'Clinic', fhirBase, allowHttp: true, allowPrivateNetwork: true, ...more })
}

export const LEFT_PHOTO: SourcePhoto = { resourceType: 'Media', id: 'left-1', versionId: '1', created: '2026-11-20T08:12:00+01:00' }
export const RIGHT_PHOTO: SourcePhoto = { resourceType: 'Media', id: 'right-1', versionId: '1', created: '2026-11-20T08:12:30+01:00' }

/** Both hands; left MCP 2 flagged, left thumb IP not assessable, everything else not flagged. */
export function sampleFindings(): JointFinding[] {
  return LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint): JointFinding => {
    if (side === 'left' && joint === 'ip1') return { side, joint, kind: 'not-assessed', reason: 'low-detail' }
    const inflamed = side === 'left' && joint === 'mcp2'
    return { side, joint, kind: 'assessed', inflamed, probability: inflamed ? 0.83 : 0.12 }
  }))
}

export function sampleScreening(change: Partial<ScreeningInput> = {}): ScreeningInput {
  const findings = change.findings ?? sampleFindings()
  return {
    tenant: 'clinic',
    patientId: 'pat-1',
    photos: [LEFT_PHOTO, RIGHT_PHOTO],
    photoOf: (side) => (side === 'left' ? LEFT_PHOTO : RIGHT_PHOTO),
    findings,
    regions: { left: HAND_JOINTS.map((_, index) => ({ x: 100.4 + index, y: 200, width: 260, height: 260 })) },
    count: handJointCount(findings, { factor: 1.6, level: 0.9 }),
    model: { name: 'hand-joints', version: '0.1.0', digest: 'ab'.repeat(32) },
    thresholds: { name: 'f1', value: 0.21 },
    photoTime: '2026-11-20T08:12:00+01:00',
    issued: '2026-11-20T08:13:05.120+01:00',
    ...change
  }
}
