/**
 * The scripts. They pass on what is typed, and evaluate nothing of it. The answer is lines: `:files`, for names of files by the shell's own
 * means, or a value, with a summary behind a tab where the shell shows it.
 */

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** The command's first word when a script asks. */
export const COMPLETE = "__complete";
/** The line of an answer that asks for files. */
export const FILES = ":files";

/** Bash replaces what is behind the last "=" or ":" of a word only: it says what that is. */
const bash = (
  command: string,
) => `# Completion of ${command} for bash. In ~/.bashrc: source <(${command} completion bash)
_${command}_completion() {
    local line current=\${COMP_WORDS[COMP_CWORD]}
    case $current in = | :) current= ;; esac
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            ${FILES}) compopt -o default ;;
            *) COMPREPLY+=("$line") ;;
        esac
    done < <(${command} ${COMPLETE} bash "\${COMP_LINE:0:COMP_POINT}" "$current" 2>/dev/null </dev/null)
}
complete -F _${command}_completion ${command}
`;

const zsh = (command: string) => `#compdef ${command}
# Completion of ${command} for zsh. In ~/.zshrc, behind compinit: source <(${command} completion zsh)
_${command}() {
    local line files=
    local -a values shown
    while IFS= read -r line; do
        case $line in
            ${FILES}) files=1 ;;
            *) values+=("\${line%%$'\\t'*}") shown+=("\${line/$'\\t'/  -- }") ;;
        esac
    done < <(${command} ${COMPLETE} zsh "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null </dev/null)
    (( $#values )) && compadd -l -d shown -a values
    [[ -n $files ]] && _files
    (( $#values )) || [[ -n $files ]]
}
if [[ $funcstack[1] == _${command} ]]; then
    _${command} "$@"
else
    compdef _${command} ${command}
fi
`;

const fish = (
  command: string,
) => `# Completion of ${command} for fish: ${command} completion fish > ~/.config/fish/completions/${command}.fish
function __${command}_completion
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in (${command} ${COMPLETE} fish $words[2..-1] "$current" 2>/dev/null </dev/null)
        if test "$line" = ${FILES}
            __fish_complete_path "$current"
        else
            printf '%s\\n' $line
        end
    end
end
complete -c ${command} -f -a '(__${command}_completion)'
`;

const SCRIPTS: Readonly<Record<Shell, (command: string) => string>> = { bash, zsh, fish };

export function completionScript(shell: Shell, command: string): string {
  return SCRIPTS[shell](command);
}
