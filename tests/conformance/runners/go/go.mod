module runner

go 1.19
