// Loads a compose file as Docker Compose does: .env, environment, COMPOSE_PROFILES, schema,
// dependencies. Prints the services that would run, or what is wrong, and then ends with 1.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:],
		cli.WithOsEnv, cli.WithDotEnv, cli.WithDefaultProfiles())
	if err == nil {
		err = show(options)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func show(options *cli.ProjectOptions) error {
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return err
	}
	rendered, err := project.MarshalJSON()
	if err != nil {
		return err
	}
	fmt.Println(string(rendered))
	return nil
}
