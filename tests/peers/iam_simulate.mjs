// Answers of @cloud-copilot/iam-simulate: questions as JSON on stdin, a letter for each on stdout
// (A allowed, D denied explicitly, I denied implicitly). See tests/iam_peers.py.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const LETTERS = { Allowed: 'A', ExplicitlyDenied: 'D', ImplicitlyDenied: 'I' }
const named = (policies) => (policies ?? []).map((policy, number) => ({ name: `p${number}`, policy }))

for (const each of JSON.parse(readFileSync(0, 'utf8'))) {
  const found = await runSimulation(
    {
      request: {
        principal: each.caller,
        action: each.action,
        resource: { resource: each.resource, accountId: each.account },
        contextVariables: each.context
      },
      identityPolicies: named(each.identity),
      resourcePolicy: each.policy ?? undefined,
      permissionBoundaryPolicies: each.boundary ? named(each.boundary) : undefined,
      sessionPolicy: each.session ?? undefined,
      serviceControlPolicies: [],
      resourceControlPolicies: []
    },
    { simulationMode: 'Strict' }
  )
  process.stdout.write(LETTERS[found.overallResult] ?? `\n${JSON.stringify(found)}\n${JSON.stringify(each)}\n`)
}
