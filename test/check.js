import { ESLint } from 'eslint'
import ts from 'typescript'

/** Types and style over one program: `tsc --noEmit` and `eslint .` each read and check the same one, a third of the computing more. */
const root = `${import.meta.dirname}/..`
const host = { getCurrentDirectory: () => root, getCanonicalFileName: (name) => name, getNewLine: () => '\n' }
const { config, error } = ts.readConfigFile(`${root}/tsconfig.json`, ts.sys.readFile)
const { options, fileNames, errors } = ts.parseJsonConfigFileContent(config ?? {}, ts.sys, root)
const program = ts.createProgram(fileNames, options)
const faults = [...(error ? [error] : []), ...errors, ...ts.getPreEmitDiagnostics(program)]
process.stdout.write(ts.formatDiagnosticsWithColorAndContext(faults, host))

const parserOptions = { projectService: false, programs: [program] }
const eslint = new ESLint({ cwd: root, overrideConfig: { files: ['**/*.ts', '**/*.tsx'], languageOptions: { parserOptions } } })
const results = await eslint.lintFiles('.')
process.stdout.write(await (await eslint.loadFormatter()).format(results))
if (faults.length > 0 || results.some(({ errorCount }) => errorCount > 0)) process.exitCode = 1
