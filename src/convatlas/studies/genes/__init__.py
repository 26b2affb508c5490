"""The study "genes": what each gene changes in LeNet-5 and in a small ResNet."""
