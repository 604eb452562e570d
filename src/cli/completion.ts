/**
 * `cresset completion`: scripts for shells, by @bomb.sh/tab, out of the tree of commands. Here is what they lack: names of files
 * where nothing else is to be said, and a bash without the package bash-completion (macOS, containers).
 */
import tab, { ShellCompDirective } from "@bomb.sh/tab";
import addCompletion from "@bomb.sh/tab/commander";
import type { Command } from "commander";

/** Before the script for bash. A second `source` would complain of read-only variables. */
const beforeBash = `declare -F __cresset_complete > /dev/null && return
declare -F _get_comp_words_by_ref > /dev/null || _get_comp_words_by_ref() {
    cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD
}
type -t compopt > /dev/null || compopt() { :; } # bash before 4
`;

/** After it: files where the script gives nothing. */
const afterBash = "complete -o default -F __cresset_complete cresset\n";

/** Adds the command `completion`, and the hidden one that its scripts call. */
export function completion(program: Command): void {
  addCompletion(program, { completionCommandName: "completion" });
  // Asked when everything that fits has been collected, and told to the shell after it.
  Object.defineProperty(tab, "directive", {
    get: () =>
      tab.completions.length === 0
        ? ShellCompDirective.ShellCompDirectiveDefault
        : ShellCompDirective.ShellCompDirectiveNoFileComp,
    set: () => {},
  });
  program.commands
    .find((command) => command.name() === "completion")
    ?.description("print a script that completes cresset's commands in your shell")
    .hook("preAction", (_, { args: [shell] }) => void (shell === "bash" && process.stdout.write(beforeBash)))
    .hook("postAction", (_, { args: [shell] }) => void (shell === "bash" && process.stdout.write(afterBash)))
    .addHelpText(
      "after",
      `
Examples:
  $ source <(cresset completion bash)                 in ~/.bashrc
  $ source <(cresset completion zsh)                  in ~/.zshrc
  $ cresset completion fish > ~/.config/fish/completions/cresset.fish`,
    );
}
