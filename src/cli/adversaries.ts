/**
 * The book's two networks, and how they learn from each other.
 *
 * Source: Tariq Rashid, Make Your First GAN With PyTorch (2020)
 */
import { nn, ones, optim, randn, type Tensor, zeros } from "../index.js";
import { inputsOf } from "./classifier.js";

/** What the generator starts from. */
export const noiseSize = 100;

export class Adversaries extends nn.Module {
  discriminator = new nn.Sequential(
    new nn.Linear(784, 200),
    new nn.LeakyReLU(0.02),
    new nn.LayerNorm(200),
    new nn.Linear(200, 1),
    new nn.Sigmoid(),
  );
  generator = new nn.Sequential(
    new nn.Linear(noiseSize, 200),
    new nn.LeakyReLU(0.02),
    new nn.LayerNorm(200),
    new nn.Linear(200, 784),
    new nn.Sigmoid(),
  );

  override forward(noise: Tensor): Tensor {
    return this.generator.forward(noise);
  }
}

/** Both optimisers as one, and the step. */
export function adversarial({ discriminator, generator }: Adversaries, lr: number) {
  const judge = new optim.Adam(discriminator.parameters(), { lr });
  const forger = new optim.Adam(generator.parameters(), { lr });
  const { binaryCrossEntropy } = nn.functional;
  const learn = (optimiser: optim.Adam, answers: Tensor, truth: Tensor): Tensor => {
    const loss = binaryCrossEntropy(answers, truth);
    optimiser.zeroGrad();
    loss.backward();
    optimiser.step();
    return loss.detach();
  };
  return {
    step([pixels]: [Tensor, Tensor]) {
      const size = pixels.shape[0] as number;
      const [real, made] = [ones([size, 1]), zeros([size, 1])];
      const forge = () => generator.forward(randn([size, noiseSize]));
      const onReal = learn(judge, discriminator.forward(inputsOf(pixels)), real);
      const onMade = learn(judge, discriminator.forward(forge().detach()), made);
      // The generator wants its images to be taken for real ones.
      const forged = learn(forger, discriminator.forward(forge()), real);
      const judged = onReal.add(onMade).div(2);
      return { loss: judged.add(forged), discriminator: judged, generator: forged };
    },
    optimiser: {
      get paramGroups() {
        return [...judge.paramGroups, ...forger.paramGroups];
      },
      zeroGrad: () => [judge, forger].forEach((each) => each.zeroGrad()),
      step: () => [judge, forger].forEach((each) => each.step()),
      stateDict: () => ({ discriminator: judge.stateDict(), generator: forger.stateDict() }),
      loadStateDict(state: { discriminator: never; generator: never }) {
        judge.loadStateDict(state.discriminator);
        forger.loadStateDict(state.generator);
      },
    },
  };
}
